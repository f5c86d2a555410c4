import { verbatim } from "../drivers/sql-fragment.ts";
import type { PgTransaction } from "../drivers/postgresql.ts";
import { prepared } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { IdPosition, JournalAppend, JournalHead, JournalTransaction } from "./journal.ts";
import { commitStatements, requireNext, updateHead } from "./postgresql-journal-append.ts";
import { textOf } from "./postgresql-journal-entries.ts";
import { addCounts, findIds, readFoundIds } from "./postgresql-journal-ids.ts";
import type { IdCounts } from "./postgresql-journal-ids.ts";
import type { JournalNumbers } from "./postgresql-journal-numbers.ts";
import type { JournalDatabase } from "./postgresql-journal-schema.ts";
import { selectReceipt } from "./postgresql-journal-state.ts";
import { writeTable } from "./postgresql-journal-tables.ts";

/** What a transaction is made of. */
export interface JournalTransactionParts {
  readonly database: JournalDatabase;
  readonly numbers: JournalNumbers;
  readonly scope: Scope;
  readonly tenantNo: number;
  /** Open, with the tenant's head locked. */
  readonly transaction: PgTransaction;
  /** As it stands under the lock. */
  readonly head: JournalHead | undefined;
  /** Called once, however the transaction ends. */
  readonly onEnd: () => Promise<void>;
  /** Asks, under the lock, whether a head was committed; for a commit whose answer was lost. */
  readonly wasCommitted: (head: JournalHead) => Promise<boolean>;
}

/** A transaction on a connection of its own, under the lock of the tenant's head row. */
export class PostgresqlJournalTransaction implements JournalTransaction {
  readonly head: JournalHead | undefined;
  readonly #parts: JournalTransactionParts;
  #appended: JournalHead | undefined;
  #counts: IdCounts = new Map();
  #isOpen = true;
  /** The savepoint of the last commit that was appended. */
  #savepoint: SavepointName | undefined;

  constructor(parts: JournalTransactionParts) {
    this.#parts = parts;
    this.head = parts.head;
  }

  async lookup(type: string, ids: readonly string[]): Promise<readonly (IdPosition | undefined)[]> {
    this.#mustBeOpen("look ids up");
    const { database, numbers, scope, tenantNo, transaction } = this.#parts;
    const typeNo = await numbers.find(scope, "type", type);
    if (typeNo === undefined || ids.length === 0) return ids.map(() => undefined);
    const statements = findIds(database, { tenantNo, typeNo }, ids);
    return readFoundIds(await transaction.session.runAll(statements), ids.length);
  }

  async exists(tenant: string, type: string, ids: readonly string[]): Promise<readonly boolean[]> {
    this.#mustBeOpen("look references up");
    const { database, numbers, transaction } = this.#parts;
    const scope = { ...this.#parts.scope, tenant };
    const tenantNo = await numbers.find(scope, "tenant", tenant);
    const typeNo = await numbers.find(scope, "type", type);
    if (tenantNo === undefined || typeNo === undefined || ids.length === 0) {
      return ids.map(() => false);
    }
    const space = (of: Scope) =>
      prepared`SELECT set_config('custody.space', ${database.pg.space(of)}, true)`;
    const results = await transaction.session.runAll([
      space(scope),
      numbers.confirm({ tenant, tenantNo, type: { name: type, typeNo } }),
      ...findIds(database, { tenantNo, typeNo }, ids),
      space(this.#parts.scope),
    ]);
    const found = readFoundIds(results.slice(2, -1), ids.length);
    return found.map((at) => at !== undefined && !at.isDeleted);
  }

  async receipt(kind: "import" | "idempotency", key: string): Promise<string | undefined> {
    this.#mustBeOpen("read a receipt");
    const { database, tenantNo, transaction } = this.#parts;
    const statement = selectReceipt(database, tenantNo, { kind, key });
    const [row] = await transaction.session.rows(statement);
    return row === undefined ? undefined : textOf(row["receipt"]);
  }

  async append(commit: JournalAppend): Promise<void> {
    this.#mustBeOpen("append a commit");
    const last = (this.#appended ?? this.head)?.sequence ?? 0;
    requireNext(last, commit);
    const { database, numbers, scope, tenantNo, transaction } = this.#parts;
    const { session } = transaction;
    const types = [...new Set(commit.entries.map(({ type }) => type))];
    const typeNumbers = await numbers.makeTypes(scope, session, types);
    const { statements, read } = commitStatements({ database, tenantNo, typeNumbers }, commit);
    // Two names by turns: where the one is not ended, the other is not taken back in its place.
    const name = this.#savepoint === "one_commit" ? "another_commit" : "one_commit";
    const opening = this.#savepoint === undefined ? [] : [savepoint("RELEASE", this.#savepoint)];
    try {
      const results = await session.runAll([...opening, savepoint("BEGIN", name), ...statements]);
      this.#savepoint = name;
      const counts = read(results.slice(opening.length + 1), this.#counts);
      for (const table of commit.tables ?? []) {
        await writeTable(session, { database, tenantNo }, table);
      }
      [this.#appended, this.#counts] = [commit.head, counts];
    } catch (cause) {
      await this.#takeAppendBack(name);
      throw cause;
    }
  }

  async commit(): Promise<void> {
    this.#mustBeOpen("commit");
    this.#isOpen = false;
    const { database, tenantNo, transaction, onEnd, wasCommitted } = this.#parts;
    const appended = this.#appended;
    // Once for all of a group. The head's row was found when it was locked.
    const last =
      appended === undefined
        ? []
        : [addCounts(database, tenantNo, this.#counts), updateHead(database, tenantNo, appended)];
    try {
      await transaction.commit(last);
    } catch (cause) {
      const isUnsure = cause instanceof StoreError && cause.code === "unavailable";
      if (!isUnsure || appended === undefined) throw cause;
      // The answer is lost; what became of the commit can still be asked, once the server has ended it.
      const isDone = await wasCommitted(appended).catch(() => false);
      if (!isDone) throw cause;
    } finally {
      await onEnd();
    }
  }

  async rollback(): Promise<void> {
    this.#mustBeOpen("roll back");
    this.#isOpen = false;
    try {
      await this.#parts.transaction.rollback();
    } finally {
      await this.#parts.onEnd();
    }
  }

  #mustBeOpen(doing: string): void {
    if (this.#isOpen) return;
    throw new StoreError("refused", `cannot ${doing}: the transaction has ended`);
  }

  /** A commit that fails leaves the others of its group as they were. */
  async #takeAppendBack(name: SavepointName): Promise<void> {
    const back = [savepoint("ROLLBACK TO", name), savepoint("RELEASE", name)];
    try {
      await this.#parts.transaction.session.runAll(back);
      this.#savepoint = undefined;
    } catch {
      // The connection is gone, or the savepoint was never set as the transaction had failed before: all
      // of it is taken back, and `commit` will say so.
    }
  }
}

type SavepointName = "one_commit" | "another_commit";

function savepoint(doing: "BEGIN" | "RELEASE" | "ROLLBACK TO", name: SavepointName): PgFragment {
  const statement = doing === "BEGIN" ? "SAVEPOINT" : `${doing} SAVEPOINT`;
  return { ...verbatim(`${statement} ${name}`), isPrepared: true };
}
