import { closeSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";

import { sqliteFileBytes } from "../drivers/sqlite-rows.ts";
import { sqliteCall, sqliteTransaction } from "../drivers/sqlite.ts";
import type { SqliteFileOptions } from "../drivers/sqlite.ts";
import { TurnQueue } from "../drivers/turn-queue.ts";
import type { Scope } from "../scope.ts";
import type { JournalStore } from "./journal.ts";
import { relocateLines } from "./sqlite-journal-append.ts";
import { checkJournal, openJournalReader, openJournalWriter } from "./sqlite-journal-connection.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";
import * as entries from "./sqlite-journal-entries.ts";
import { findIds, findIdsBefore, readCount } from "./sqlite-journal-ids.ts";
import * as state from "./sqlite-journal-state.ts";
import { readTable } from "./sqlite-journal-tables.ts";
import { SqliteJournalTransaction } from "./sqlite-journal-transaction.ts";

export interface SqliteJournalOptions extends Pick<SqliteFileOptions, "busyMs" | "bytesMax"> {
  /** The file, which holds the journals of all tenants. */
  readonly path: string;
  /** Epoch milliseconds; against it deadlines are held. */
  readonly clock: () => number;
}

/**
 * Embedded journal in one SQLite file: one connection writes, in turns, and one reads what is
 * committed.
 *
 * @throws StoreError `unavailable`, `read-only`, `full`, or `corrupt` when the file is no journal.
 */
export async function openSqliteJournal(options: SqliteJournalOptions): Promise<JournalStore> {
  const writer = openJournalWriter(options);
  let reader: JournalConnection;
  try {
    syncDirectories(options.path);
    reader = openJournalReader(options.path);
  } catch (cause) {
    writer.database.close();
    throw cause;
  }
  const turns = new TurnQueue(options.clock);
  return {
    engine: "sqlite",
    ...readingEntries(reader),
    ...readingState(reader),
    ...writing(writer, turns),
    bytes: async () => sqliteFileBytes(options.path),
    check: async () => checkJournal(reader.database),
    async [Symbol.asyncDispose]() {
      // A transaction that was never ended is taken back by closing.
      reader.database.close();
      writer.database.close();
    },
  };
}

/** A new file is lost with its directory's entry, which SQLite does not write through. */
function syncDirectories(path: string): void {
  for (const directory of [dirname(path), dirname(dirname(path))]) {
    const descriptor = openSync(directory, "r");
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

type ReadingEntries = Pick<
  JournalStore,
  | "head"
  | "tenants"
  | "entries"
  | "entry"
  | "lastSequence"
  | "lookup"
  | "lookupBefore"
  | "count"
  | "inlineLines"
  | "treeNodes"
  | "treeHead"
  | "treeHeads"
>;

/** Reads on behalf of a tenant; one that has written nothing has nothing. */
function reads(reader: JournalConnection) {
  return async <Result>(
    { tenant }: Scope,
    nothing: Result,
    work: (tenantNo: number) => Result,
  ): Promise<Result> =>
    sqliteCall("read the journal", () => {
      const tenantNo = reader.numberOf("tenant", tenant);
      return tenantNo === undefined ? nothing : work(tenantNo);
    });
}

function readingEntries(reader: JournalConnection): ReadingEntries {
  const read = reads(reader);
  const typed = <Result>(
    type: string,
    nothing: Result,
    work: (typeNo: number) => Result,
  ): Result => {
    const typeNo = reader.numberOf("type", type);
    return typeNo === undefined ? nothing : work(typeNo);
  };
  return {
    head: (scope) => read(scope, undefined, (tenantNo) => entries.readHead(reader, tenantNo)),
    tenants: async () =>
      sqliteCall("list tenants", () =>
        reader
          .statement("SELECT name FROM tenant JOIN head USING (tenant_no) ORDER BY name")
          .all()
          .map((row) => String(row["name"])),
      ),
    entries: (scope, { after, limit, type }) =>
      read(scope, [], (tenantNo) =>
        entries.readEntries(reader, tenantNo, {
          after,
          limit,
          ...(type === undefined ? {} : { types: type }),
        }),
      ),
    entry: (scope, sequence) =>
      read(scope, undefined, (tenantNo) => entries.readEntry(reader, tenantNo, sequence)),
    lastSequence: (scope, types) =>
      read(scope, 0, (tenantNo) => entries.readLastSequence(reader, tenantNo, types)),
    lookup: (scope, type, ids) => {
      const nothing = ids.map(() => undefined);
      return read(scope, nothing, (tenantNo) =>
        typed(type, nothing, (typeNo) => findIds(reader, { tenantNo, typeNo }, ids)),
      );
    },
    lookupBefore: (scope, type, keys) => {
      const nothing = keys.map(() => undefined);
      return read(scope, nothing, (tenantNo) =>
        typed(type, nothing, (typeNo) => findIdsBefore(reader, { tenantNo, typeNo }, keys)),
      );
    },
    count: (scope, type) => {
      const nothing = { live: 0, total: 0 };
      return read(scope, nothing, (tenantNo) =>
        typed(type, nothing, (typeNo) => readCount(reader, { tenantNo, typeNo })),
      );
    },
    inlineLines: (scope, sequence) =>
      read(scope, undefined, (tenantNo) => entries.readInlineLines(reader, tenantNo, sequence)),
    treeNodes: (scope, nodes) =>
      read(
        scope,
        nodes.map(() => undefined),
        (tenantNo) => entries.readTreeNodes(reader, tenantNo, nodes),
      ),
    treeHead: (scope, size) =>
      read(scope, undefined, (tenantNo) => entries.readTreeHead(reader, tenantNo, size)),
    treeHeads: (scope, afterSize, limit) =>
      read(scope, [], (tenantNo) => entries.readTreeHeads(reader, tenantNo, { afterSize, limit })),
  };
}

type ReadingState = Pick<
  JournalStore,
  "segment" | "segments" | "receipt" | "state" | "listState" | "quarantine" | "tableRows"
>;

function readingState(reader: JournalConnection): ReadingState {
  const read = reads(reader);
  return {
    segment: (scope, segmentId) =>
      read(scope, undefined, (tenantNo) => entries.readSegment(reader, tenantNo, segmentId)),
    segments: (scope, after, limit) =>
      read(scope, [], (tenantNo) => entries.readSegments(reader, tenantNo, { after, limit })),
    receipt: (scope, kind, key) =>
      read(scope, undefined, (tenantNo) => state.readReceipt(reader, tenantNo, { kind, key })),
    state: (scope, name) =>
      read(scope, undefined, (tenantNo) => state.readState(reader, tenantNo, name)),
    listState: (scope, prefix) =>
      read(scope, [], (tenantNo) => state.readStates(reader, tenantNo, prefix)),
    quarantine: (scope, query) =>
      read(scope, [], (tenantNo) => state.readQuarantine(reader, tenantNo, query)),
    tableRows: (scope, table, query) =>
      read(scope, [], (tenantNo) => readTable(reader, tenantNo, { ...query, table })),
  };
}

type Writing = Pick<
  JournalStore,
  | "begin"
  | "relocate"
  | "putIntent"
  | "renewIntents"
  | "takeExpiredIntents"
  | "takeIntents"
  | "dropIntents"
  | "putState"
  | "putQuarantine"
  | "passQuarantine"
  | "dropQuarantine"
>;

function writing(writer: JournalConnection, turns: TurnQueue): Writing {
  /** Runs a small write in a turn and a transaction of its own. */
  const write = <Result>(
    { tenant, deadline }: Scope,
    doing: string,
    work: (tenantNo: number) => Result,
  ): Promise<Result> =>
    turns.run(deadline, () => {
      try {
        return sqliteTransaction(writer.database, doing, () =>
          work(writer.makeNumber("tenant", tenant)),
        );
      } catch (cause) {
        writer.forget();
        throw cause;
      }
    });
  return {
    async begin(scope) {
      const end = await turns.take(scope.deadline);
      try {
        return new SqliteJournalTransaction(writer, scope, end);
      } catch (cause) {
        end();
        throw cause;
      }
    },
    relocate: (scope, change) =>
      write(scope, "relocate lines", (tenantNo) => relocateLines(writer, tenantNo, change)),
    putIntent: (scope, intent) =>
      write(scope, "put an intent", (tenantNo) => state.writeIntent(writer, tenantNo, intent)),
    renewIntents: (scope, segmentIds, expiresAt) =>
      write(scope, "renew intents", (tenantNo) =>
        state.renewLeases(writer, tenantNo, { segmentIds, expiresAt }),
      ),
    takeExpiredIntents: (scope, now, limit) =>
      write(scope, "take expired intents", (tenantNo) =>
        state.takeExpired(writer, tenantNo, { now, limit }),
      ),
    takeIntents: (scope, segmentIds) =>
      write(scope, "take intents", (tenantNo) => state.takeIntents(writer, tenantNo, segmentIds)),
    dropIntents: (scope, segmentIds) =>
      write(scope, "drop intents", (tenantNo) => state.removeIntents(writer, tenantNo, segmentIds)),
    putState: (scope, name, value) =>
      write(scope, "put state", (tenantNo) => state.writeState(writer, tenantNo, { name, value })),
    putQuarantine: (scope, rows) =>
      write(scope, "put quarantine", (tenantNo) => state.writeQuarantine(writer, tenantNo, rows)),
    passQuarantine: (scope, rows) =>
      write(scope, "pass quarantine", (tenantNo) => state.markPassed(writer, tenantNo, rows)),
    dropQuarantine: (scope, rows) =>
      write(scope, "drop quarantine", (tenantNo) => state.removeQuarantine(writer, tenantNo, rows)),
  };
}
