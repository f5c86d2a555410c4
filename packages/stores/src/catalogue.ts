import type { StoreRole } from "@custody/contract/placement";

/** One engine that can play a role. */
export interface EngineEntry {
  readonly role: StoreRole;
  readonly engine: string;
  /** What it is, for people. */
  readonly product: string;
  /** True for the one used when the role's URL is not set. */
  readonly isDefault: boolean;
  /** Where its files lie below a tenant's directory, for embedded engines. */
  readonly file?: string;
  /** What is encrypted at rest by Custody, and what is not. */
  readonly atRest: "sealed" | "plain";
}

/** Every engine of every role: what goes where, on one screen. */
export const ENGINES: readonly EngineEntry[] = [
  {
    role: "relational",
    engine: "sqlite",
    product: "SQLite",
    isDefault: true,
    file: "relational.sqlite",
    atRest: "plain",
  },
  {
    role: "document",
    engine: "sqlite",
    product: "SQLite JSONB",
    isDefault: true,
    file: "document.sqlite",
    atRest: "plain",
  },
  {
    role: "series",
    engine: "duckdb",
    product: "DuckDB",
    isDefault: true,
    file: "series.duckdb",
    atRest: "plain",
  },
  {
    role: "search",
    engine: "sqlite",
    product: "SQLite FTS5",
    isDefault: true,
    file: "search.sqlite",
    atRest: "plain",
  },
  {
    role: "analytics",
    engine: "duckdb",
    product: "DuckDB",
    isDefault: true,
    file: "analytics.duckdb",
    atRest: "plain",
  },
  {
    role: "graph",
    engine: "ladybug",
    product: "LadybugDB",
    isDefault: true,
    file: "graph-1-1.lbug",
    atRest: "plain",
  },
  {
    role: "blob",
    engine: "files",
    product: "file system",
    isDefault: true,
    file: "blobs",
    atRest: "sealed",
  },
  {
    role: "cache",
    engine: "memory",
    product: "in process, with SQLite behind it",
    isDefault: true,
    file: "cache.sqlite",
    atRest: "plain",
  },
  {
    role: "queue",
    engine: "sqlite",
    product: "SQLite",
    isDefault: true,
    file: "queue.sqlite",
    atRest: "plain",
  },
  {
    role: "stream",
    engine: "journal",
    product: "a cursor over the journal",
    isDefault: true,
    file: "stream.sqlite",
    atRest: "plain",
  },
];
