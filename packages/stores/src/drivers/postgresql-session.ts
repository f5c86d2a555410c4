import type { CallLimit, PgConnection } from "./postgresql-connection.ts";
import { pgName, sql } from "./postgresql-sql.ts";
import type { PgFragment } from "./postgresql-sql.ts";
import type { PgResult, PgRow } from "./postgresql-statements.ts";
import { verbatim } from "./sql-fragment.ts";

/**
 * A connection in a transaction that is confined to a scope's space.
 *
 * Calls are made one after another; the transaction ends with the work it was given to.
 */
export class PgSession {
  readonly #connection: PgConnection;
  readonly #limit: () => CallLimit;
  readonly #role: string | undefined;
  #opening: readonly PgFragment[];

  /** @param opening sent with the first statements, so that it costs no round trip of its own. */
  constructor(
    connection: PgConnection,
    options: {
      readonly opening: readonly PgFragment[];
      readonly role: string | undefined;
      readonly limit: () => CallLimit;
    },
  ) {
    this.#connection = connection;
    this.#opening = options.opening;
    this.#role = options.role;
    this.#limit = options.limit;
  }

  /** True until the first statement was sent: there is nothing to end. */
  get isUnused(): boolean {
    return this.#opening.length > 0;
  }

  /** Runs one statement. @throws StoreError by the server's SQLSTATE. */
  async run(statement: PgFragment): Promise<PgResult> {
    const [result] = await this.runAll([statement]);
    return result ?? { rows: [], count: 0, tag: "" };
  }

  /** The rows of one statement. */
  async rows(statement: PgFragment): Promise<readonly PgRow[]> {
    return (await this.run(statement)).rows;
  }

  /** Runs statements in one round trip; the first that fails ends the others. */
  async runAll(statements: readonly PgFragment[]): Promise<readonly PgResult[]> {
    const opening = this.#opening;
    this.#opening = [];
    const results = await this.#connection.run([...opening, ...statements], this.#limit());
    return results.slice(opening.length);
  }

  /**
   * Runs statements that define tables, as the user who logs in where the URL names a `role`: it owns
   * them, and the role only uses them.
   */
  async define(statements: readonly PgFragment[]): Promise<void> {
    if (this.#role === undefined) {
      await this.runAll(statements);
      return;
    }
    const as = (role: string): PgFragment => sql`SELECT set_config('role', ${role}, true)`;
    await this.runAll([as("none"), ...statements, as(this.#role)]);
  }

  /**
   * Statements that let the URL's `role` use a table that was made; none without a role. Not to truncate
   * it, which row-level security would not confine.
   */
  grantOn(...name: readonly string[]): readonly PgFragment[] {
    if (this.#role === undefined) return [];
    const role = pgName(this.#role);
    return [
      verbatim(`GRANT USAGE ON SCHEMA ${pgName(...name.slice(0, -1))} TO ${role}`),
      verbatim(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${pgName(...name)} TO ${role}`),
    ];
  }

  /** Runs a text of several statements without values. */
  async script(text: string): Promise<void> {
    if (this.isUnused) await this.runAll([]);
    await this.#connection.script(text, this.#limit());
  }

  /**
   * Copies rows into a table by COPY; answers their number. The server refuses it for tables whose
   * row-level security binds the user: copy into a temporary table and insert from there.
   *
   * @param target.table quoted, as {@link pgName} writes it.
   * @param chunks whole or broken rows in the format, as {@link copyLine} writes them for `text`.
   */
  async copyInto(
    target: {
      readonly table: string;
      readonly columns: readonly string[];
      readonly format?: "text" | "binary" | "csv";
    },
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<number> {
    const { table, columns, format = "text" } = target;
    if (this.isUnused) await this.runAll([]);
    const text = `COPY ${table} (${columns.map((name) => pgName(name)).join(", ")})
      FROM STDIN (FORMAT ${format})`;
    return this.#connection.copy(text, chunks, this.#limit());
  }
}

/** One row in COPY's text format (postgresql.org/docs/current/sql-copy.html, "Text Format"). */
export function copyLine(values: readonly (null | string | number | bigint | boolean)[]): string {
  return `${values.map(copyField).join("\t")}\n`;
}

function copyField(value: null | string | number | bigint | boolean): string {
  if (value === null) return "\\N";
  if (typeof value !== "string") return String(value);
  return SPECIAL.test(value)
    ? value.replaceAll(ALL_SPECIAL, (mark) => ESCAPES[mark] ?? mark)
    : value;
}

const SPECIAL = /[\\\n\r\t\b\f\v]/;
const ALL_SPECIAL = /[\\\n\r\t\b\f\v]/g;
const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
  "\v": "\\v",
};
