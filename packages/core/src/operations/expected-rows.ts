import type {
  AnalyticsPlacement,
  DocumentPlacement,
  GraphPlacement,
  SearchPlacement,
} from "@custody/contract/placement";
import { compileAnalyticsContent } from "@custody/stores/analytics/content";
import { documentContent } from "@custody/stores/document/content";
import { graphContent } from "@custody/stores/graph/content";
import { summaryContent, tableContent } from "@custody/stores/relational/content";
import type { TablePlacement } from "@custody/stores/relational/port";
import { searchContent } from "@custody/stores/search/content";
import { compileSeriesContent } from "@custody/stores/series/content";
import type { SeriesPlacements } from "@custody/stores/series/port";

import { compileOwner } from "../projection/owner-scope.ts";
import type { Projection } from "../projection/projections.ts";

/** A live record, as the journal has it. */
export interface LiveRecord {
  readonly type: string;
  readonly id: string;
  readonly sequence: number;
  readonly fields: unknown;
  /** Epoch milliseconds; NaN where the record has no observed time. */
  readonly observedAt: number;
}

/** A row that a store should hold. */
export interface ExpectedRow {
  readonly id: string;
  readonly sequence: number;
  readonly content: string;
  /** Whose file it lies in, where each owner has one. */
  readonly owner?: string;
}

/** Works out what a projection should hold, from the journal's live records in order. */
export interface ExpectedRows {
  /** The row of a record, where the store keeps one for each. */
  readonly row: (record: LiveRecord) => ExpectedRow | undefined;
  /** Rows that many records share; only complete after the last record. */
  readonly shared: () => Iterable<ExpectedRow>;
}

/** The rows that a projection's role and placements imply. */
export function expectedRows(projection: Projection): ExpectedRows {
  const { owner } = projection;
  if (owner === undefined) return rowsOfOneFile(projection);
  return rowsByOwner(compileOwner(owner), () => rowsOfOneFile(projection));
}

/** The rows of each owner's file as if it were alone; a record that names no owner has none. */
function rowsByOwner(
  ownerOf: (fields: unknown) => string | undefined,
  make: () => ExpectedRows,
): ExpectedRows {
  const files = new Map<string, ExpectedRows>();
  const fileOf = (owner: string): ExpectedRows => {
    const known = files.get(owner) ?? make();
    files.set(owner, known);
    return known;
  };
  return {
    row: (record) => {
      const owner = ownerOf(record.fields);
      const row = owner === undefined ? undefined : fileOf(owner).row(record);
      return row === undefined || owner === undefined ? undefined : { ...row, owner };
    },
    *shared() {
      for (const [owner, file] of files) {
        for (const row of file.shared()) yield { ...row, owner };
      }
    },
  };
}

function rowsOfOneFile(projection: Projection): ExpectedRows {
  const { role, placements } = projection;
  const [placement] = Object.values(placements);
  switch (role) {
    case "document":
      return perRecord(documentContent(placement as DocumentPlacement));
    case "search":
      return perRecord(searchContent(placement as SearchPlacement));
    case "analytics": {
      const content = compileAnalyticsContent(placement as AnalyticsPlacement);
      return rows((record) => content(record).content);
    }
    case "series": {
      const content = compileSeriesContent(placement as SeriesPlacements);
      return rows((record) => content(record)?.content);
    }
    case "relational":
      return relationalRows(placement as TablePlacement);
    case "graph":
      return graphRows(placements as Readonly<Record<string, GraphPlacement>>);
  }
}

function relationalRows(placement: TablePlacement): ExpectedRows {
  if ("table" in placement) return perRecord(tableContent(placement.table));
  const fold = summaryContent(placement.summary);
  return folded(
    (record) => fold.add(record.fields),
    () => fold.rows(),
  );
}

function graphRows(placements: Readonly<Record<string, GraphPlacement>>): ExpectedRows {
  const content = graphContent(placements);
  return folded(
    ({ type, fields, sequence }) => content.add(type, fields, sequence),
    () => content.rows(),
  );
}

function perRecord(content: (fields: unknown) => string): ExpectedRows {
  return rows((record) => content(record.fields));
}

function rows(content: (record: LiveRecord) => string | undefined): ExpectedRows {
  return {
    row: (record) => {
      const text = content(record);
      return text === undefined
        ? undefined
        : { id: record.id, sequence: record.sequence, content: text };
    },
    shared: () => [],
  };
}

function folded(
  add: (record: LiveRecord) => void,
  all: () => Iterable<{ readonly id: string; readonly content: string }>,
): ExpectedRows {
  return {
    row: (record) => {
      add(record);
      return undefined;
    },
    *shared() {
      for (const { id, content } of all()) yield { id, sequence: 0, content };
    },
  };
}
