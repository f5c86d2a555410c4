import type {
  AnalyticsPlacement,
  DocumentPlacement,
  SearchPlacement,
} from "@custody/contract/placement";
import { compileAnalyticsContent } from "@custody/stores/analytics/content";
import { documentContent } from "@custody/stores/document/content";
import { tableContent } from "@custody/stores/relational/content";
import type { TablePlacement } from "@custody/stores/relational/port";
import { searchContent } from "@custody/stores/search/content";
import { compileSeriesContent } from "@custody/stores/series/content";
import type { SeriesPlacements } from "@custody/stores/series/port";

/** A role whose stores keep a row for each record. */
export type RowRole = "document" | "search" | "analytics" | "series" | "relational";

/** What a record is to a store of a role, as text; `undefined` where it has no row there. */
export type RowContent = (record: {
  readonly id: string;
  readonly fields: unknown;
  readonly observedAt: number;
}) => string | undefined;

/** The content form of a placement's records. */
export function compileRowContent(role: RowRole, placement: unknown): RowContent {
  switch (role) {
    case "document": {
      const content = documentContent(placement as DocumentPlacement);
      return ({ fields }) => content(fields);
    }
    case "search": {
      const content = searchContent(placement as SearchPlacement);
      return ({ fields }) => content(fields);
    }
    case "analytics": {
      const content = compileAnalyticsContent(placement as AnalyticsPlacement);
      return (record) => content(record).content;
    }
    case "series": {
      const content = compileSeriesContent(placement as SeriesPlacements);
      return (record) => content(record)?.content;
    }
    case "relational": {
      if ("summary" in (placement as TablePlacement)) throw new Error("a summary has groups");
      const content = tableContent((placement as { table: never }).table);
      return ({ fields }) => content(fields);
    }
  }
}
