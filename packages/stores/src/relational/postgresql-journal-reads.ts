import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { PgCell, PgResult, PgRow } from "../drivers/postgresql-statements.ts";
import type { Scope } from "../scope.ts";
import type { JournalStore } from "./journal.ts";
import * as entries from "./postgresql-journal-entries.ts";
import { countOf, findIds, findIdsBefore, readFoundIds } from "./postgresql-journal-ids.ts";
import type { JournalNumbers } from "./postgresql-journal-numbers.ts";
import type { JournalReplica } from "./postgresql-journal-replica.ts";
import { tenantScope } from "./postgresql-journal-schema.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";
import * as state from "./postgresql-journal-state.ts";
import { selectDeclaration, selectTable } from "./postgresql-journal-tables.ts";

/** What reads of the journal need. */
export interface JournalReading {
  readonly database: JournalDatabase;
  readonly numbers: JournalNumbers;
  readonly replica: JournalReplica | undefined;
  /** Brings the tables up to date, before they are first used. */
  readonly ready: (scope: Scope) => Promise<void>;
}

/** What a read is made of: statements for the tenant's number, and how their results are read. */
interface Reading<Result> {
  readonly doing: string;
  /** The answer for a tenant, or a type, that has written nothing. */
  readonly nothing: Result;
  readonly type?: string;
  readonly statements: (tenantNo: number, typeNo: number) => readonly PgFragment[];
  readonly read: (results: readonly PgResult[]) => Result;
}

type Read = <Result>(scope: Scope, reading: Reading<Result>) => Promise<Result>;

/**
 * Makes reads on behalf of a tenant.
 *
 * @param from `replica` for what is still right when it is a moment old, where there is one.
 */
function readsFrom(
  { database, numbers, replica, ready }: JournalReading,
  from: "primary" | "replica",
) {
  const read: Read = async (given, { doing, nothing, type, statements, read: take }) => {
    const scope = tenantScope(given);
    await ready(scope);
    return numbers.trusting(async () => {
      const tenantNo = await numbers.find(scope, "tenant", scope.tenant);
      const typeNo = type === undefined ? 0 : await numbers.find(scope, "type", type);
      if (tenantNo === undefined || typeNo === undefined) return nothing;
      const reads = statements(tenantNo, typeNo);
      if (reads.length === 0) return nothing;
      const ofType = type === undefined ? {} : { type: { name: type, typeNo } };
      const all = [numbers.confirm({ tenant: scope.tenant, tenantNo, ...ofType }), ...reads];
      const copied = from === "replica" ? await replica?.ask(scope, doing, all) : undefined;
      // What the replica lacks may be there all the same, told of by another process.
      if (copied?.slice(1).every(({ rows }) => rows.length > 0) === true)
        return take(copied.slice(1));
      const asked = replica?.askPrimary(scope, doing, all) ?? database.pg.ask(scope, doing, all);
      return take((await asked).slice(1));
    });
  };
  return read;
}

type EntryReads = Pick<
  JournalStore,
  | "head"
  | "entries"
  | "entry"
  | "lastSequence"
  | "inlineLines"
  | "treeNodes"
  | "treeHead"
  | "treeHeads"
  | "segment"
  | "segments"
>;

/** Reads of entries, trees and segments. */
export function entryReads(journal: JournalReading): EntryReads {
  const { database } = journal;
  const read = readsFrom(journal, "replica");
  return {
    head: (scope) =>
      readsFrom(journal, "primary")(scope, {
        ...one("read the head", entries.headOf),
        statements: (tenantNo) => [entries.selectHead(database, tenantNo)],
      }),
    entries: (scope, range) =>
      read(scope, {
        ...many("read entries", entries.entryOf),
        statements: (tenantNo) => [entries.selectEntries(database, tenantNo, range)],
      }),
    entry: (scope, sequence) =>
      read(scope, {
        ...one("read an entry", entries.entryOf),
        statements: (tenantNo) => [entries.selectEntry(database, tenantNo, sequence)],
      }),
    lastSequence: async (scope, types) => {
      const last = await read(scope, {
        ...one("read the last sequence", (row) => Number(row["last"] ?? 0)),
        statements: (tenantNo) => [entries.selectLastSequence(database, tenantNo, types)],
      });
      return last ?? 0;
    },
    inlineLines: (scope, sequence) =>
      read(scope, {
        ...one("read lines", column("lines", entries.bytesOf)),
        statements: (tenantNo) => [entries.selectInlineLines(database, tenantNo, sequence)],
      }),
    treeNodes: (scope, nodes) =>
      read(scope, {
        doing: "read tree nodes",
        nothing: nodes.map(() => undefined),
        statements: (tenantNo) => [entries.selectTreeNodes(database, tenantNo, nodes)],
        read: ([result]) => {
          const found: (Uint8Array | undefined)[] = Array.from({ length: nodes.length });
          for (const row of result?.rows ?? []) {
            found[Number(row["n"]) - 1] = entries.bytesOf(row["hash"]);
          }
          return found;
        },
      }),
    treeHead: (scope, size) =>
      read(scope, {
        ...one("read a tree head", column("head", entries.bytesOf)),
        statements: (tenantNo) => [entries.selectTreeHead(database, tenantNo, size)],
      }),
    treeHeads: (scope, afterSize, limit) =>
      read(scope, {
        ...many("read tree heads", column("head", entries.bytesOf)),
        statements: (tenantNo) => [
          entries.selectTreeHeads(database, tenantNo, { afterSize, limit }),
        ],
      }),
    segment: (scope, segmentId) =>
      read(scope, {
        ...one("read a segment", entries.segmentOf),
        statements: (tenantNo) => [entries.selectSegment(database, tenantNo, segmentId)],
      }),
    segments: (scope, after, limit) =>
      read(scope, {
        ...many("read segments", entries.segmentOf),
        statements: (tenantNo) => [entries.selectSegments(database, tenantNo, { after, limit })],
      }),
  };
}

type StateReads = Pick<
  JournalStore,
  | "lookup"
  | "lookupBefore"
  | "count"
  | "receipt"
  | "state"
  | "listState"
  | "quarantine"
  | "tableRows"
>;

/** Reads of the id index and of what changes: decisions are made by them, so they are always of now. */
export function stateReads(journal: JournalReading): StateReads {
  const { database } = journal;
  const read = readsFrom(journal, "primary");
  return {
    lookup: (scope, type, ids) =>
      read(scope, {
        doing: "look ids up",
        nothing: ids.map(() => undefined),
        type,
        statements: (tenantNo, typeNo) => findIds(database, { tenantNo, typeNo }, ids),
        read: (results) => readFoundIds(results, ids.length),
      }),
    lookupBefore: (scope, type, keys) =>
      readsFrom(journal, "replica")(scope, {
        doing: "look earlier versions up",
        nothing: keys.map(() => undefined),
        type,
        statements: (tenantNo, typeNo) => findIdsBefore(database, { tenantNo, typeNo }, keys),
        read: (results) => readFoundIds(results, keys.length),
      }),
    count: async (scope, type) => {
      const counts = await read(scope, {
        ...one("count ids", (row) => ({ live: Number(row["live"]), total: Number(row["total"]) })),
        type,
        statements: (tenantNo, typeNo) => [countOf(database, { tenantNo, typeNo })],
      });
      return counts ?? { live: 0, total: 0 };
    },
    receipt: (scope, kind, key) =>
      read(scope, {
        ...one("read a receipt", column("receipt", entries.textOf)),
        statements: (tenantNo) => [state.selectReceipt(database, tenantNo, { kind, key })],
      }),
    state: (scope, name) =>
      read(scope, {
        ...one("read state", column("value", entries.textOf)),
        statements: (tenantNo) => [state.selectState(database, tenantNo, name)],
      }),
    listState: (scope, prefix) =>
      read(scope, {
        ...many("list state", (row) => ({
          name: entries.textOf(row["name"]),
          value: entries.textOf(row["value"]),
        })),
        statements: (tenantNo) => [state.selectStates(database, tenantNo, prefix)],
      }),
    quarantine: (scope, query) =>
      read(scope, {
        ...many("read quarantine", state.quarantineOf),
        statements: (tenantNo) => [state.selectQuarantine(database, tenantNo, query)],
      }),
    tableRows: (scope, table, query) => tableRows(journal, scope, { ...query, table }),
  };
}

/** A table's rows, with the columns it was last declared with. */
async function tableRows(
  journal: JournalReading,
  scope: Scope,
  range: { readonly table: string; readonly after?: string; readonly limit: number },
): ReturnType<JournalStore["tableRows"]> {
  const read = readsFrom(journal, "primary");
  const { database } = journal;
  const columns = await read<PgCell | undefined>(scope, {
    ...one("read a table's columns", (row) => row["columns"]),
    statements: () => [selectDeclaration(database, range.table)],
  });
  if (columns === undefined) return [];
  const { statement, read: take } = selectTable(database, { ...range, columns });
  return read(scope, {
    ...many("read a table", take),
    statements: (tenantNo) => [statement(tenantNo)],
  });
}

/** The first row of a reading's only statement. */
function one<Result>(
  doing: string,
  take: (row: PgRow) => Result,
): Pick<Reading<Result | undefined>, "doing" | "nothing" | "read"> {
  return {
    doing,
    nothing: undefined,
    read: ([result]) => {
      const row = result?.rows[0];
      return row === undefined ? undefined : take(row);
    },
  };
}

/** The rows of a reading's only statement. */
function many<Item>(
  doing: string,
  take: (row: PgRow) => Item,
): Pick<Reading<readonly Item[]>, "doing" | "nothing" | "read"> {
  return { doing, nothing: [], read: ([result]) => result?.rows.map(take) ?? [] };
}

/** Takes one column of a row. */
function column<Value>(name: string, take: (cell: PgCell | undefined) => Value) {
  return (row: PgRow): Value => take(row[name]);
}
