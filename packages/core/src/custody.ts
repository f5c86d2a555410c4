import type { Receipt } from "@custody/contract/receipt";
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
import type { BackupOperations } from "./operations/backup-operations.ts";
import type { ReconcileOptions } from "./operations/reconcile.ts";
import type { ProofBundle } from "./verify/proof-bundle.ts";
import type {
  TenantStatus,
  VerifyReport,
  ReconcileReport,
  TraceReport,
  EngineReport,
  Explanation,
  TypeInfo,
} from "./reports.ts";
import type { SlowCall } from "./query/slow-calls.ts";
import type { ConsumeOptions, ConsumeReport } from "./stream/consume.ts";
import type { ConsumeSource } from "./stream/positions.ts";
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

/** What a read is asked, behind the scope. */
type Question<Read> = Read extends (scope: Scope, ...question: infer Asked) => unknown
  ? Asked
  : never;

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
  /** The same questions, answered with the engine's plan in place of the rows. */
  readonly explain: {
    find(scope: Scope, type: string, options?: FindOptions): Promise<Explanation>;
    search(scope: Scope, type: string, options: SearchOptions): Promise<Explanation>;
    series(scope: Scope, ...question: Question<Custody["series"]>): Promise<Explanation>;
    aggregate(scope: Scope, ...question: Question<Custody["aggregate"]>): Promise<Explanation>;
    table(scope: Scope, ...question: Question<Custody["table"]>): Promise<Explanation>;
    graph(scope: Scope, ...question: Question<Custody["graph"]["query"]>): Promise<Explanation>;
    sql(scope: Scope, ...question: Question<Custody["sql"]>): Promise<Explanation>;
  };
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
  /**
   * Reads a topic that others write into commits, until the signal or the number of messages ends it.
   * Each message's records are committed once, and with them how far the topic was read.
   */
  consume(scope: Scope, source: ConsumeSource, options?: ConsumeOptions): Promise<ConsumeReport>;
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

  /**
   * Brings projections of the given roles to the journal's present end. Without roles, events are also
   * told to a stream that is a server; one that cannot be reached is not waited for.
   */
  catchUp(scope: Scope, roles?: readonly ProjectedRole[]): Promise<void>;
  rebuild(
    scope: Scope,
    roles: readonly ProjectedRole[],
  ): Promise<readonly { readonly role: ProjectedRole; readonly name: string }[]>;
  /** Compares what stores really hold with the journal, row by row, and repairs them where that is asked. */
  reconcile(scope: Scope, options?: ReconcileOptions): Promise<ReconcileReport>;
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
  /** Backups of the whole installation into a place elsewhere. Restoring one makes another installation. */
  readonly backup: BackupOperations;
  /** The tenants that have a journal, sorted; `_system` among them once it has one. */
  tenants(): Promise<readonly string[]>;
  /** Merges inline lines and small segments into large segments; answers what changed. */
  compact(scope: Scope): Promise<{
    readonly entries: number;
    readonly segmentsBefore: number;
    readonly segmentsAfter: number;
  }>;
}
