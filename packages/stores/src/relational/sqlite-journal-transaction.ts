import { sqliteCall } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { IdPosition, JournalAppend, JournalTransaction } from "./journal.ts";
import { writeCommit } from "./sqlite-journal-append.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";
import { readHead } from "./sqlite-journal-entries.ts";
import { findIds } from "./sqlite-journal-ids.ts";
import { readReceipt } from "./sqlite-journal-state.ts";

/**
 * Begins a transaction on the writing connection, whose turn the caller has.
 *
 * @param end gives the turn back; called once, however the transaction ends.
 */
export function beginTransaction(
  connection: JournalConnection,
  { tenant }: Scope,
  end: () => void,
): JournalTransaction {
  const { database } = connection;
  sqliteCall("begin a commit", () => database.exec("BEGIN IMMEDIATE"));
  let isOpen = true;
  const during = <Result>(doing: string, work: () => Result): Result => {
    if (!isOpen) throw new StoreError("refused", `cannot ${doing}: the transaction has ended`);
    // A full disk or a failed write ends SQLite's transaction; what came next would stand alone.
    if (!database.isTransaction && doing !== "roll back") {
      throw new StoreError("unavailable", `cannot ${doing}: SQLite took the transaction back`);
    }
    return sqliteCall(doing, work);
  };
  const find = (
    of: { readonly tenant: string; readonly type: string },
    ids: readonly string[],
  ): readonly (IdPosition | undefined)[] => {
    const tenantNo = connection.numberOf("tenant", of.tenant);
    const typeNo = connection.numberOf("type", of.type);
    if (tenantNo === undefined || typeNo === undefined) return ids.map(() => undefined);
    return findIds(connection, { tenantNo, typeNo }, ids);
  };
  const giveUp = (): void => {
    isOpen = false;
    try {
      if (database.isTransaction) database.exec("ROLLBACK");
    } finally {
      connection.forget();
      end();
    }
  };
  const readOwnHead = () => {
    try {
      const tenantNo = connection.numberOf("tenant", tenant);
      return tenantNo === undefined ? undefined : readHead(connection, tenantNo);
    } catch (cause) {
      giveUp();
      throw cause;
    }
  };
  return {
    head: readOwnHead(),
    lookup: async (type, ids) => during("look ids up", () => find({ tenant, type }, ids)),
    exists: async (of, type, ids) =>
      during("look references up", () =>
        find({ tenant: of, type }, ids).map((at) => at !== undefined && !at.isDeleted),
      ),
    receipt: async (kind, key) =>
      during("read a receipt", () => {
        const tenantNo = connection.numberOf("tenant", tenant);
        return tenantNo === undefined
          ? undefined
          : readReceipt(connection, tenantNo, { kind, key });
      }),
    append: async (commit) =>
      during("append a commit", () => appendInSavepoint(connection, tenant, commit)),
    commit: async () =>
      during("commit", () => {
        try {
          database.exec("COMMIT");
        } catch (cause) {
          giveUp();
          throw cause;
        }
        isOpen = false;
        end();
      }),
    rollback: async () => during("roll back", giveUp),
  };
}

/** A commit that fails leaves the others of its group as they were. */
function appendInSavepoint(
  connection: JournalConnection,
  tenant: string,
  commit: JournalAppend,
): void {
  const { database } = connection;
  database.exec("SAVEPOINT one_commit");
  try {
    writeCommit(connection, tenant, commit);
    database.exec("RELEASE one_commit");
  } catch (cause) {
    // SQLite has rolled the whole transaction back itself after some errors, a full disk among them.
    if (database.isTransaction) database.exec("ROLLBACK TO one_commit; RELEASE one_commit");
    connection.forget();
    throw cause;
  }
}
