import type { DatabaseSync } from "node:sqlite";

import { openSqliteFile, sqliteCall, sqliteTransaction } from "../drivers/sqlite.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { checkGroup, checkPage, STREAM_LIMITS } from "./limits.ts";
import type { EventSource, EventStream, StreamEvent } from "./port.ts";

export interface JournalStreamOptions {
  /** The data directory; a tenant's offsets lie in `tenants/<tenant>/stream.sqlite` below it. */
  readonly directory: string;
  /** Reads the events themselves, which are never stored here. */
  readonly source: EventSource;
}

const BEGINNING = "0";

// `place_key` is the offset padded so that text order is number order; see `offsetKey`.
const TABLES = `CREATE TABLE IF NOT EXISTS cursor
  (topic TEXT NOT NULL, reader TEXT NOT NULL, place TEXT NOT NULL, place_key TEXT NOT NULL,
   PRIMARY KEY (topic, reader)) STRICT, WITHOUT ROWID`;

/**
 * Embedded event stream: a cursor over the journal, which stores nothing but how far each group has read.
 * Losing its file means that groups read everything again.
 */
export async function openJournalStream({
  directory,
  source,
}: JournalStreamOptions): Promise<EventStream> {
  const files = new TenantFiles<DatabaseSync>({
    directory,
    file: "stream.sqlite",
    open: async (path) => await Promise.resolve(openCursorFile(path)),
    close: async (database) => {
      database.close();
      await Promise.resolve();
    },
  });
  return await Promise.resolve(new JournalStream(files, source));
}

function openCursorFile(path: string): DatabaseSync {
  const database = openSqliteFile({ path, durability: "journal", cacheKib: 512 });
  sqliteTransaction(database, `make tables of ${path}`, () => database.exec(TABLES));
  return database;
}

class JournalStream implements EventStream {
  readonly role = "stream";
  readonly engine = "journal";
  readonly capabilities = { isJournalCursor: true, hasIntake: false } as const;
  readonly limits = STREAM_LIMITS;
  readonly #files: TenantFiles<DatabaseSync>;
  readonly #source: EventSource;

  constructor(files: TenantFiles<DatabaseSync>, source: EventSource) {
    this.#files = files;
    this.#source = source;
  }

  async publish(): Promise<void> {
    await Promise.resolve();
    throw new StoreError("unsupported", "the stream is read from the journal; commit a record");
  }

  async read(...[scope, topic, options]: Parameters<EventStream["read"]>) {
    checkPage(options.limit);
    offsetKey(options.after);
    // The path is not needed, but its check of the tenant's name is.
    this.#files.path(scope);
    return await this.#source(scope, topic, options);
  }

  async poll(...[scope, topic, group, limit]: Parameters<EventStream["poll"]>) {
    checkPage(limit);
    checkGroup(group);
    const after = await this.#files.use(scope, (database) =>
      sqliteCall("read a group's offset", () => {
        const row = database
          .prepare("SELECT place FROM cursor WHERE topic = ? AND reader = ?")
          .get(topic, group);
        return row === undefined ? BEGINNING : String(row["place"]);
      }),
    );
    const events: readonly StreamEvent[] = await this.#source(scope, topic, { after, limit });
    return events;
  }

  async acknowledge(...[scope, topic, group, offset]: Parameters<EventStream["acknowledge"]>) {
    await this.#put(scope, [topic, group, offset], "WHERE excluded.place_key > place_key");
  }

  async seek(...[scope, topic, group, offset]: Parameters<EventStream["seek"]>): Promise<void> {
    await this.#put(scope, [topic, group, offset], "");
  }

  async groups(scope: Scope, topic: string) {
    return await this.#files.use(scope, (database) =>
      sqliteCall("list groups", () =>
        database
          .prepare("SELECT reader, place FROM cursor WHERE topic = ? ORDER BY reader")
          .all(topic)
          .map((row) => ({ group: String(row["reader"]), offset: String(row["place"]) })),
      ),
    );
  }

  partitions(): Promise<never> {
    return noIntake();
  }

  fetch(): Promise<never> {
    return noIntake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files.closeAll();
  }

  async #put(
    scope: Scope,
    [topic, group, offset]: readonly [string, string, string],
    condition: string,
  ): Promise<void> {
    checkGroup(group);
    const key = offsetKey(offset);
    await this.#files.use(scope, (database) =>
      sqliteCall("remember a group's offset", () => {
        database
          .prepare(
            `INSERT INTO cursor VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
              SET place = excluded.place, place_key = excluded.place_key ${condition}`,
          )
          .run(topic, group, offset, key);
      }),
    );
  }
}

function noIntake(): Promise<never> {
  return Promise.reject(
    new StoreError("unsupported", "nothing comes in through a cursor over the journal; use Kafka"),
  );
}

/** A text that orders as the offset's numbers do, one after another. */
function offsetKey(offset: string): string {
  if (!/^\d{1,20}(?:\.\d{1,20}){0,3}$/.test(offset)) {
    throw new StoreError("refused", `not an offset: ${JSON.stringify(offset.slice(0, 40))}`);
  }
  return offset
    .split(".")
    .map((number) => number.padStart(20, "0"))
    .join(".");
}
