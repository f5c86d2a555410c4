import { digestTable, fingerprintTable, listTable } from "./duckdb-digest.ts";
import type { DuckdbRange, DuckdbRowForm } from "./duckdb-digest.ts";
import type { DuckdbPart, DuckdbTable, DuckdbTableName, DuckdbWrite } from "./duckdb-protocol.ts";
import { DuckdbTables } from "./duckdb-tables.ts";
import { DuckdbWriteSession } from "./duckdb-write.ts";
import { openDuckdbFile } from "./duckdb.ts";
import type { DuckdbFile, DuckdbFileOptions } from "./duckdb.ts";
import { StoreError } from "../errors.ts";

/** A call as a store gets it. */
export interface DuckdbCall {
  readonly call: number;
  readonly method: string;
  readonly argument: unknown;
  /** Aborted when the answer is no longer waited for. */
  readonly signal: AbortSignal;
}

type Handler = (argument: never, call: DuckdbCall) => Promise<unknown>;

/** What both of a tenant's DuckDB stores can do, by method name; each role adds its own methods. */
export class DuckdbRoleTables {
  readonly tables: DuckdbTables;
  readonly file: DuckdbFile;
  readonly #form: DuckdbRowForm;
  readonly #countOf: string;
  readonly #sessions = new Map<number, DuckdbWriteSession>();
  readonly #handlers = new Map<string, Handler>();

  /** @param countOf the condition that holds for one row of each record. */
  constructor(opened: OpenedTables, form: DuckdbRowForm, countOf: string) {
    this.tables = opened.tables;
    this.file = opened.file;
    this.#form = form;
    this.#countOf = countOf;
    this.#handleWrites();
    this.#handleReads();
  }

  /** Adds a method. The argument is what our own client sent, so it is not checked again here. */
  handle<Argument>(
    method: string,
    handler: (argument: Argument, call: DuckdbCall) => Promise<unknown>,
  ): void {
    this.#handlers.set(method, handler as Handler);
  }

  async call(call: DuckdbCall): Promise<unknown> {
    const handler = this.#handlers.get(call.method);
    if (handler === undefined) throw new StoreError("unsupported", `no method ${call.method}`);
    return await handler(call.argument as never, call);
  }

  /** Ends queries that people run; false when there are none. */
  endQueries(): boolean {
    return false;
  }

  close(): void {
    this.file.close();
  }

  #handleWrites(): void {
    this.handle<DuckdbTable>("prepare", (table) => this.tables.prepare(table));
    this.handle<DuckdbTableName>("discard", (name) =>
      this.tables.discard(name, async () => undefined),
    );
    this.handle<{ session: number; write: DuckdbWrite }>("begin", async ({ session, write }) => {
      const begun = new DuckdbWriteSession(this.tables, write);
      this.#sessions.set(session, begun);
      return await begun.begin();
    });
    this.handle<{ session: number; part: DuckdbPart }>("part", ({ session, part }) =>
      this.#session(session).part(part),
    );
    this.handle<{ session: number }>("commit", async ({ session }) => {
      await this.#session(session)
        .commit()
        .finally(() => this.#sessions.delete(session));
    });
    this.handle<{ session: number }>("abort", async ({ session }) => {
      await this.#sessions.get(session)?.abort();
      this.#sessions.delete(session);
    });
    this.handle("settle", () => this.tables.settle());
  }

  #handleReads(): void {
    this.handle<DuckdbTableName>("checkpoint", (name, { signal }) =>
      this.tables.checkpoint(name, signal),
    );
    this.handle<{ table: DuckdbTableName; bucketSize: number }>("digest", (query, { signal }) =>
      digestTable(this.tables, this.#form, query, signal),
    );
    this.handle<{ table: DuckdbTableName; bucketSize: number }>(
      "fingerprint",
      (query, { signal }) => fingerprintTable(this.tables, query, signal),
    );
    this.handle<{ table: DuckdbTableName; range: DuckdbRange }>("list", (query, { signal }) =>
      listTable(this.tables, this.#form, query, signal),
    );
    this.handle("statistics", (_none, { signal }) => this.tables.statistics(this.#countOf, signal));
  }

  #session(number: number): DuckdbWriteSession {
    const session = this.#sessions.get(number);
    if (session === undefined) throw new StoreError("unavailable", "the write was ended");
    return session;
  }
}

/** An open file with its list of collections. */
export interface OpenedTables {
  readonly file: DuckdbFile;
  readonly tables: DuckdbTables;
}

/** Opens a file and its list of collections. */
export async function openTables(options: DuckdbFileOptions): Promise<OpenedTables> {
  const file = await openDuckdbFile(options);
  try {
    return { file, tables: await DuckdbTables.open(file, options.path) };
  } catch (cause) {
    file.close();
    throw cause;
  }
}
