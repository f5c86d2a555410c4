import type { StoreRole } from "@custody/contract/placement";
import type { AnalyticsStore } from "@custody/stores/analytics/port";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Cache } from "@custody/stores/cache/port";
import type { EngineEntry } from "@custody/stores/catalogue";
import type { DocumentStore } from "@custody/stores/document/port";
import type { GraphStore } from "@custody/stores/graph/port";
import type { Queue } from "@custody/stores/queue/port";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { RelationalStore } from "@custody/stores/relational/port";
import type { SearchStore } from "@custody/stores/search/port";
import type { SeriesStore } from "@custody/stores/series/port";
import type { EngineHealth } from "@custody/stores/server-engine";
import type { EventSource, EventStream } from "@custody/stores/stream/port";

/** The projected stores by role. */
export interface ProjectedStoresByRole {
  readonly document: DocumentStore;
  readonly search: SearchStore;
  readonly analytics: AnalyticsStore;
  readonly series: SeriesStore;
  readonly graph: GraphStore;
  readonly relational: RelationalStore;
}

/** A role whose store is filled by projectors. */
export type ProjectedRole = keyof ProjectedStoresByRole;

export const PROJECTED_ROLES: readonly ProjectedRole[] = [
  "document",
  "search",
  "relational",
  "series",
  "analytics",
  "graph",
];

/** A store that is asked more rarely for a while, as it does not answer. */
export interface BreakerReport {
  /** The journal is apart from the relational role, though one server may keep both. */
  readonly store: StoreRole | "journal";
  /** `half-open` while one call is let through to see whether it answers again. */
  readonly state: "open" | "half-open";
  /** Epoch milliseconds since when it has not answered. */
  readonly since: number;
  /** Epoch milliseconds from which the next call is let through. */
  readonly retryAt: number;
  /** What was said when it did not answer. */
  readonly reason: string;
}

/** The stores core works with. Each is opened when it is first asked for, and once. */
export interface Stores extends AsyncDisposable {
  /** The engine that plays a role. */
  readonly engine: (role: StoreRole) => EngineEntry;
  /** How a role's server is; `undefined` where an embedded engine plays the role. */
  readonly health: (role: StoreRole) => Promise<EngineHealth | undefined>;
  /** The stores that are not asked now, where whoever opened them keeps watch. */
  readonly breakers?: () => readonly BreakerReport[];
  readonly journal: () => Promise<JournalStore>;
  readonly blob: () => Promise<BlobStore>;
  readonly cache: () => Promise<Cache>;
  readonly queue: () => Promise<Queue>;
  /** The embedded stream reads its events from the given source, the journal. */
  readonly stream: (source: EventSource) => Promise<EventStream>;
  readonly projected: <Role extends ProjectedRole>(
    role: Role,
  ) => Promise<ProjectedStoresByRole[Role]>;
}
