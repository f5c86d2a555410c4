import { sqliteCall } from "../drivers/sqlite.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { IdPosition, JournalAppend, JournalHead, JournalTransaction } from "./journal.ts";
import { writeCommit } from "./sqlite-journal-append.ts";
import type { JournalConnection } from "./sqlite-journal-connection.ts";
import { readHead } from "./sqlite-journal-entries.ts";
import { findIds } from "./sqlite-journal-ids.ts";
import { readReceipt } from "./sqlite-journal-state.ts";

/** A transaction on the writing connection. */
export class SqliteJournalTransaction implements JournalTransaction {
  readonly head: JournalHead | undefined;
  readonly #connection: JournalConnection;
  readonly #tenant: string;
  readonly #giveTurnBack: () => void;
  #isOpen = true;

  /**
   * Begins the transaction; the caller has the connection's turn.
   *
   * @param giveTurnBack called once, however the transaction ends, unless this throws.
   */
  constructor(connection: JournalConnection, { tenant }: Scope, giveTurnBack: () => void) {
    this.#connection = connection;
    this.#tenant = tenant;
    this.#giveTurnBack = giveTurnBack;
    sqliteCall("begin a commit", () => connection.database.exec("BEGIN IMMEDIATE"));
    try {
      this.head = sqliteCall("read the head", () => {
        const tenantNo = connection.numberOf("tenant", tenant);
        return tenantNo === undefined ? undefined : readHead(connection, tenantNo);
      });
    } catch (cause) {
      this.#takeBack();
      throw cause;
    }
  }

  async lookup(type: string, ids: readonly string[]): Promise<readonly (IdPosition | undefined)[]> {
    return this.#during("look ids up", () => this.#find(this.#tenant, type, ids));
  }

  async exists(tenant: string, type: string, ids: readonly string[]): Promise<readonly boolean[]> {
    return this.#during("look references up", () =>
      this.#find(tenant, type, ids).map((at) => at !== undefined && !at.isDeleted),
    );
  }

  async receipt(kind: "import" | "idempotency", key: string): Promise<string | undefined> {
    return this.#during("read a receipt", () => {
      const tenantNo = this.#connection.numberOf("tenant", this.#tenant);
      if (tenantNo === undefined) return undefined;
      return readReceipt(this.#connection, tenantNo, { kind, key });
    });
  }

  async append(commit: JournalAppend): Promise<void> {
    this.#during("append a commit", () => this.#appendInSavepoint(commit));
  }

  async commit(): Promise<void> {
    this.#mustBeOpen("commit");
    try {
      this.#during("commit", () => this.#connection.database.exec("COMMIT"));
    } catch (cause) {
      this.#end(() => this.#takeBack());
      throw cause;
    }
    this.#end();
  }

  async rollback(): Promise<void> {
    this.#mustBeOpen("roll back");
    this.#end(() => this.#takeBack());
  }

  #mustBeOpen(doing: string): void {
    if (this.#isOpen) return;
    throw new StoreError("refused", `cannot ${doing}: the transaction has ended`);
  }

  #during<Result>(doing: string, work: () => Result): Result {
    this.#mustBeOpen(doing);
    // A full disk or a failed write ends SQLite's transaction; what came next would stand alone.
    if (!this.#connection.database.isTransaction) {
      throw new StoreError("unavailable", `cannot ${doing}: SQLite took the transaction back`);
    }
    return sqliteCall(doing, work);
  }

  #end(last: () => void = () => undefined): void {
    this.#isOpen = false;
    try {
      last();
    } finally {
      this.#giveTurnBack();
    }
  }

  #takeBack(): void {
    const { database } = this.#connection;
    this.#connection.forget();
    if (database.isTransaction) sqliteCall("roll back", () => database.exec("ROLLBACK"));
  }

  #find(tenant: string, type: string, ids: readonly string[]): readonly (IdPosition | undefined)[] {
    const tenantNo = this.#connection.numberOf("tenant", tenant);
    const typeNo = this.#connection.numberOf("type", type);
    if (tenantNo === undefined || typeNo === undefined) return ids.map(() => undefined);
    return findIds(this.#connection, { tenantNo, typeNo }, ids);
  }

  /** A commit that fails leaves the others of its group as they were. */
  #appendInSavepoint(commit: JournalAppend): void {
    const { database } = this.#connection;
    database.exec("SAVEPOINT one_commit");
    try {
      writeCommit(this.#connection, this.#tenant, commit);
      database.exec("RELEASE one_commit");
    } catch (cause) {
      this.#connection.forget();
      // SQLite may have rolled the whole transaction back itself (sqlite.org/lang_transaction.html, §3.1).
      if (database.isTransaction) database.exec("ROLLBACK TO one_commit; RELEASE one_commit");
      throw cause;
    }
  }
}
