import type { Receipt } from "@custody/contract/receipt";
import type { StoreRole } from "@custody/contract/placement";
import type { AggregateAnswer, AggregateQuery, SqlAnswer } from "@custody/stores/analytics/port";
import type { BlobInfo } from "@custody/stores/blob/port";
import type {
  CypherAnswer,
  CypherRequest,
  NeighbourAnswer,
  NeighbourQuery,
  PathAnswer,
  PathQuery,
} from "@custody/stores/graph/port";
import type { Cache } from "@custody/stores/cache/port";
import type { Queue } from "@custody/stores/queue/port";
import type { StreamEvent } from "@custody/stores/stream/port";
import type { QuarantineRow } from "@custody/stores/relational/journal";
import type { TablePage, TableQuery } from "@custody/stores/relational/port";
import type { Scope } from "@custody/stores/scope";
import type { SeriesAnswer, SeriesQuery } from "@custody/stores/series/port";

import type { CommitOptions, CommitPart } from "./journal/commit-request.ts";
import type { ProofBundle } from "./verify/proof-bundle.ts";
import type { SlowCall } from "./query/slow-calls.ts";
import type { ProjectedRole } from "./stores.ts";

/** A point in a tenant's journal to have been reached before an answer is given: a receipt or a sequence. */
export type After = Receipt | number;

/** A record as it is read. */
export interface FoundRecord {
  readonly type: string;
  readonly id: string;
  /** The sequence of the entry it came in. */
  readonly version: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface FindOptions {
  /** Mongo-style; operators are those of `FILTER_OPERATORS`. Default everything. */
  readonly filter?: unknown;
  readonly sort?: readonly { readonly path: string; readonly direction: "asc" | "desc" }[];
  /** Default 100. */
  readonly limit?: number;
  readonly cursor?: string;
  readonly after?: After;
}

export interface FoundPage {
  readonly records: readonly FoundRecord[];
  readonly cursor?: string;
  readonly checkpoint: number;
}

export interface SearchOptions {
  readonly query: string;
  readonly filter?: unknown;
  readonly facets?: readonly string[];
  readonly limit?: number;
  readonly cursor?: string;
  readonly after?: After;
}

export interface SearchAnswer {
  readonly hits: readonly (FoundRecord & {
    readonly score: number;
    /** Texts by field with `«` and `»` around what was met, cut around the hits. */
    readonly highlights: Readonly<Record<string, string>>;
  })[];
  readonly total: number;
  readonly facets: Readonly<
    Record<string, readonly { readonly value: string; readonly count: number }[]>
  >;
  readonly cursor?: string;
  readonly checkpoint: number;
}

export interface ImportOptions {
  /** Last part of the file's name. */
  readonly name: string;
  /** An importer's name, when content alone should not decide. */
  readonly format?: string;
  /** Imports the good rows and keeps the rest as `custody/rejected_inputs`. */
  readonly isLenient?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly onProgress?: (progress: ImportProgress) => void;
  readonly signal?: AbortSignal;
}

export interface ImportProgress {
  readonly phase: "reading" | "committing";
  /** Bytes of the file read so far. */
  readonly bytesRead: number;
  readonly rows: number;
}

/** What an import did, by file. */
export interface ImportReport {
  readonly format: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly tool?: string;
  readonly toolVersion?: string;
  readonly types: Readonly<
    Record<string, { accepted: number; duplicates: number; rejected: number }>
  >;
  readonly receipts: readonly Receipt[];
  /** True when the very same file had been imported before. */
  readonly isReplay: boolean;
  readonly rejections: readonly { readonly at: string; readonly reason: string }[];
}

export interface ProjectionStatus {
  readonly name: string;
  readonly generation: number;
  /** Where each owner has a file of their own: as many as the journal holds for them. */
  readonly records: number;
  readonly checkpoint: number;
  /** Entries yet to be read: 0 when caught up. */
  readonly lag: number;
  readonly condition: "idle" | "running" | "waiting" | "failed";
  readonly reason?: string;
  readonly quarantined: number;
}

export interface RoleStatus {
  readonly engine: string;
  readonly product: string;
  readonly records: number;
  /** On disk; without the files that owners have of their own. */
  readonly bytes: number;
  readonly lag: number;
  /** What of it is encrypted at rest by Custody, in words. */
  readonly encrypted: string;
  readonly condition: "ok" | "lagging" | "waiting" | "failed" | "closed";
  readonly projections: readonly ProjectionStatus[];
}

export interface TenantStatus {
  readonly tenant: string;
  readonly timeline: string | undefined;
  /** Entries in the journal. */
  readonly entries: number;
  readonly head: string | undefined;
  readonly roles: Readonly<Record<StoreRole, RoleStatus>>;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly checked: {
    readonly tenants: number;
    readonly entries: number;
    readonly records: number;
    readonly segments: number;
    readonly treeHeads: number;
    readonly bytes: number;
  };
  /** The first thing that is wrong. */
  readonly fault?: {
    readonly tenant: string;
    /** `entry`, `segment`, `tree-head`, `index`. */
    readonly kind: string;
    /** Names it: `entry 12`, `segment 0192…`, `tree head at size 7`. */
    readonly at: string;
    readonly reason: string;
  };
}

/** A difference between the journal and a store. */
export interface Difference {
  readonly kind: "missing" | "extra" | "stale" | "altered";
  readonly id: string;
  readonly sequence: number;
}

export interface ReconcileReport {
  readonly ok: boolean;
  readonly projections: readonly {
    readonly role: ProjectedRole;
    readonly name: string;
    readonly checkpoint: number;
    readonly records: number;
    readonly differences: number;
    /** At most 1,000 of them. */
    readonly examples: readonly Difference[];
    readonly repaired: number;
  }[];
}

/** One place a record is in, for people: see {@link Custody.trace}. */
export interface TraceReport {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly isDeleted: boolean;
  readonly entry: {
    readonly sequence: number;
    readonly hash: string;
    readonly commit: string;
    readonly operation: string;
    readonly records: number;
    readonly actor: string;
    readonly receivedAt: number;
    readonly tool?: string;
    readonly importer?: string;
  };
  readonly location:
    | { readonly kind: "inline" }
    | {
        readonly kind: "segment";
        readonly segment: string;
        readonly block: number;
        readonly line: number;
        readonly blobKey: string;
      };
  readonly source?: {
    readonly name: string;
    readonly sha256: string;
    readonly place?: string;
    readonly blob: string;
  };
  readonly projections: readonly {
    readonly role: ProjectedRole;
    readonly name: string;
    readonly state:
      | "present"
      | "missing"
      | "stale"
      | "behind"
      | "quarantined"
      | "empty"
      | "counted"
      | "deleted";
    readonly checkpoint: number;
  }[];
  readonly proof: {
    readonly holds: boolean;
    readonly treeSize: number;
    readonly root: string;
    readonly fault?: string;
  };
}

/** What plays a role, and how it is. */
export interface EngineReport {
  readonly role: StoreRole;
  readonly engine: string;
  /** What a server says of itself, else the engine's product. */
  readonly product: string;
  /** Where a server plays the role and answers. */
  readonly version?: string;
  /** Milliseconds that its answer took. */
  readonly tookMs?: number;
  /** Why a server does not answer, or cannot be used. */
  readonly trouble?: string;
}

/** A record type as people see it. */
export interface TypeInfo {
  readonly name: string;
  readonly version: number;
  readonly title: string;
  readonly mode: string;
  readonly scope: string;
  readonly id: string;
  readonly roles: readonly StoreRole[];
  readonly fields: readonly string[];
  readonly records: number;
}

/**
 * Custody: evidence in, every store answers, proof out.
 *
 * The library's one object; the command line, and later the HTTP API, are thin over it. Every method
 * takes the scope first. Rejections are CoreError, StoreError, ContractError or ImportError.
 */
export interface Custody extends AsyncDisposable {
  /** Commits records; resolves when they are durable. */
  commit(scope: Scope, parts: readonly CommitPart[], options?: CommitOptions): Promise<Receipt>;
  /** Imports one file; all of it in one transaction, or nothing. `open` gives its bytes from the start each time. */
  import(
    scope: Scope,
    open: () => AsyncIterable<Uint8Array>,
    options: ImportOptions,
  ): Promise<ImportReport>;

  /** The record as the journal has it; `undefined` when there is none or it was deleted. Always current. */
  get(scope: Scope, type: string, id: string): Promise<FoundRecord | undefined>;
  find(scope: Scope, type: string, options?: FindOptions): Promise<FoundPage>;
  count(
    scope: Scope,
    type: string,
    options?: Pick<FindOptions, "filter" | "after">,
  ): Promise<{ readonly count: number; readonly checkpoint: number }>;
  search(scope: Scope, type: string, options: SearchOptions): Promise<SearchAnswer>;
  series(
    scope: Scope,
    type: string,
    query: SeriesQuery & { readonly after?: After },
  ): Promise<SeriesAnswer>;
  aggregate(
    scope: Scope,
    type: string,
    query: Omit<AggregateQuery, "filter"> & { readonly filter?: unknown; readonly after?: After },
  ): Promise<AggregateAnswer>;
  /** Rows of a summary or of a type's relational table, by its name. */
  table(
    scope: Scope,
    name: string,
    query: Omit<TableQuery, "filter"> & { readonly filter?: unknown; readonly after?: After },
  ): Promise<TablePage>;
  readonly graph: {
    neighbours(
      scope: Scope,
      query: NeighbourQuery & { readonly after?: After },
    ): Promise<NeighbourAnswer>;
    paths(scope: Scope, query: PathQuery & { readonly after?: After }): Promise<PathAnswer>;
    query(scope: Scope, request: CypherRequest & { readonly after?: After }): Promise<CypherAnswer>;
  };
  /** One SELECT over the tenant's analytics tables, in a process of its own. */
  sql(
    scope: Scope,
    statement: string,
    options?: { readonly rowsMax?: number; readonly timeMs?: number; readonly after?: After },
  ): Promise<SqlAnswer>;
  readonly blob: {
    list(
      scope: Scope,
      prefix: string,
      options?: { readonly limit?: number; readonly after?: string },
    ): Promise<readonly BlobInfo[]>;
    /** The opened bytes; `undefined` when there is none. */
    get(scope: Scope, key: string): Promise<AsyncIterable<Uint8Array> | undefined>;
    put(scope: Scope, key: string, bytes: AsyncIterable<Uint8Array>): Promise<BlobInfo>;
  };

  /** Domain events: what was committed, by topic, in order for each record. */
  readonly events: {
    /** The topics that declared types are told on, sorted. */
    topics(): readonly string[];
    read(
      scope: Scope,
      topic: string,
      options?: { readonly after?: string; readonly limit?: number },
    ): Promise<readonly StreamEvent[]>;
    /** Events a group has not acknowledged yet. */
    poll(
      scope: Scope,
      topic: string,
      group: string,
      limit?: number,
    ): Promise<readonly StreamEvent[]>;
    acknowledge(scope: Scope, topic: string, group: string, offset: string): Promise<void>;
  };
  /** Tasks by priority, with leases, retries and schedules. */
  queue(): Promise<Queue>;
  /** Bytes, counters and rate limits that may vanish at any moment. */
  cache(): Promise<Cache>;

  trace(scope: Scope, type: string, id: string): Promise<TraceReport>;
  proof(scope: Scope, type: string, id: string): Promise<ProofBundle>;
  /** Checks every entry, segment, line and tree head of a tenant, or of all. */
  verify(
    scope: Scope,
    options?: {
      readonly allTenants?: boolean;
      readonly onProgress?: (done: number, of: number) => void;
    },
  ): Promise<VerifyReport>;
  status(scope: Scope): Promise<TenantStatus>;
  types(scope: Scope): Promise<readonly TypeInfo[]>;
  /** Asks every server that plays a role how it is. */
  engines(): Promise<readonly EngineReport[]>;
  /** The newest reads that took long, at most 200 a tenant, newest first; without the values asked for. */
  slowCalls(scope: Scope): Promise<readonly SlowCall[]>;

  /** Brings projections of the given roles to the journal's present end. */
  catchUp(scope: Scope, roles?: readonly ProjectedRole[]): Promise<void>;
  rebuild(
    scope: Scope,
    roles: readonly ProjectedRole[],
  ): Promise<readonly { readonly role: ProjectedRole; readonly name: string }[]>;
  reconcile(
    scope: Scope,
    options?: { readonly roles?: readonly ProjectedRole[]; readonly repair?: boolean },
  ): Promise<ReconcileReport>;
  readonly quarantine: {
    list(
      scope: Scope,
      options?: { readonly role?: string; readonly limit?: number },
    ): Promise<readonly QuarantineRow[]>;
    /** Tries quarantined records again; answers how many were taken. */
    replay(
      scope: Scope,
      options?: { readonly role?: string },
    ): Promise<{ readonly replayed: number; readonly remaining: number }>;
    /** Forgets quarantined rows: the records stay in the journal and out of that store. */
    discard(scope: Scope, options?: { readonly role?: string }): Promise<number>;
  };
  /** Merges inline lines and small segments into large segments; answers what changed. */
  compact(scope: Scope): Promise<{
    readonly entries: number;
    readonly segmentsBefore: number;
    readonly segmentsAfter: number;
  }>;
}
