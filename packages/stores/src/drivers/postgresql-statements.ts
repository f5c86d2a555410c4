import type { Connection, Submittable } from "pg";

import { StoreError } from "../errors.ts";
import { statementText } from "./postgresql-sql.ts";
import type { PgFragment, PgValue } from "./postgresql-sql.ts";

/** A value as the server answers it; `numeric` and what else has no type of its own here are text. */
export type PgCell = null | string | number | bigint | boolean | Uint8Array;

/** One row, by the names of its columns. */
export type PgRow = Readonly<Record<string, PgCell>>;

/** What one statement came to. */
export interface PgResult {
  readonly rows: readonly PgRow[];
  /** Rows that were written, or answered. */
  readonly count: number;
  /** What the server says it did: `INSERT 0 5`, `COMMIT`, `ROLLBACK`. */
  readonly tag: string;
}

/** The statements that a connection has prepared, by their text. */
export class PreparedStatements {
  readonly #names = new Map<string, { readonly name: string; isParsed: boolean }>();

  /** The name under which a text is prepared; `undefined` when there are too many already. */
  find(text: string): { readonly name: string; isParsed: boolean } | undefined {
    let found = this.#names.get(text);
    if (found === undefined && this.#names.size < PREPARED_MAX) {
      found = { name: `custody_${this.#names.size}`, isParsed: false };
      this.#names.set(text, found);
    }
    return found;
  }
}

// Each costs the server some 10 to 100 KB a connection.
const PREPARED_MAX = 200;

/**
 * Statements that are sent together and answered together: one round trip, and one transaction of
 * their own where none is open (postgresql.org/docs/current/protocol-flow.html, "Pipelining"). The
 * first error ends the others.
 */
export class StatementGroup implements Submittable {
  readonly results: Promise<readonly PgResult[]>;
  readonly #statements: readonly PgFragment[];
  readonly #prepared: PreparedStatements | undefined;
  readonly #done: PgResult[] = [];
  readonly #resolve: (results: readonly PgResult[]) => void;
  readonly #reject: (cause: unknown) => void;
  #named: ({ isParsed: boolean } | undefined)[] = [];
  #fields: readonly FieldDescription[] = [];
  #rows: PgRow[] = [];

  /** @param prepared absent where a pooler may change the session between transactions. */
  constructor(statements: readonly PgFragment[], prepared: PreparedStatements | undefined) {
    this.#statements = statements;
    this.#prepared = prepared;
    ({
      promise: this.results,
      resolve: this.#resolve,
      reject: this.#reject,
    } = Promise.withResolvers<readonly PgResult[]>());
  }

  submit(connection: Connection): void {
    connection.stream.cork();
    try {
      for (const statement of this.#statements) this.#send(connection, statement);
      connection.sync();
    } finally {
      connection.stream.uncork();
    }
  }

  handleRowDescription({ fields }: { readonly fields: readonly FieldDescription[] }): void {
    this.#fields = fields;
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    const row: Record<string, PgCell> = {};
    for (const [index, { name, dataTypeID }] of this.#fields.entries()) {
      const text = fields[index] ?? null;
      row[name] = text === null ? null : readCell(dataTypeID, text);
    }
    this.#rows.push(row);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    const count = Number(/ (\d+)$/.exec(text)?.[1] ?? 0);
    this.#done.push({ rows: this.#rows, count, tag: text });
    this.#rows = [];
    this.#fields = [];
  }

  handleEmptyQuery(): void {
    this.#done.push({ rows: [], count: 0, tag: "" });
  }

  handleError(cause: unknown): void {
    // Whether the failing statement was prepared is not known; those behind it were not.
    for (const named of this.#named.slice(this.#done.length)) {
      if (named !== undefined) named.isParsed = false;
    }
    this.#reject(cause);
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#done);
  }

  /** The client calls these for protocols that no statement here uses. */
  handlePortalSuspended(): void {
    this.#reject(new StoreError("unsupported", "PostgreSQL suspended a statement"));
  }

  handleCopyInResponse(connection: CopyingConnection): void {
    connection.sendCopyFail("a statement cannot copy");
  }

  #send(connection: Connection, statement: PgFragment): void {
    const text = statementText(statement);
    const named = statement.isPrepared === true ? this.#prepared?.find(text) : undefined;
    this.#named.push(named);
    const name = named?.name ?? "";
    if (named?.isParsed !== true) {
      // Closing what does not exist is no error.
      if (named !== undefined) connection.close({ type: "S", name }, true);
      connection.parse({ name, text, types: [] }, true);
      if (named !== undefined) named.isParsed = true;
    }
    connection.bind({ statement: name, values: statement.values.map(bindValue) }, true);
    connection.describe({ type: "P", name: "" }, true);
    connection.execute(null, true);
  }
}

/** Rows on their way into a table by COPY, which takes them in a stream without statements. */
export class CopyIn implements Submittable {
  readonly copied: Promise<number>;
  /** What making the rows threw, whereupon the server was told to give up. */
  failure: { readonly cause: unknown } | undefined;
  readonly #text: string;
  readonly #chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  readonly #resolve: (count: number) => void;
  readonly #reject: (cause: unknown) => void;
  #count = 0;
  #isOver = false;

  constructor(text: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
    this.#text = text;
    this.#chunks = chunks;
    ({
      promise: this.copied,
      resolve: this.#resolve,
      reject: this.#reject,
    } = Promise.withResolvers<number>());
  }

  submit(connection: Connection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: CopyingConnection): void {
    void this.#send(connection);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#count = Number(/^COPY (\d+)$/.exec(text)?.[1] ?? 0);
  }

  handleError(cause: unknown): void {
    this.#isOver = true;
    this.#reject(cause);
  }

  handleReadyForQuery(): void {
    this.#isOver = true;
    this.#resolve(this.#count);
  }

  async #send(connection: CopyingConnection): Promise<void> {
    const { stream } = connection;
    try {
      for await (const chunk of this.#chunks) {
        if (this.#isOver) return;
        connection.sendCopyFromChunk(chunk);
        if (stream.writableNeedDrain) await drained(stream);
      }
      if (!this.#isOver) connection.endCopyFrom();
    } catch (cause) {
      this.failure = { cause };
      connection.sendCopyFail("the rows could not be made");
    }
  }
}

/** What the client's connection has for COPY, which its types do not tell. */
interface CopyingConnection extends Connection {
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

interface FieldDescription {
  readonly name: string;
  readonly dataTypeID: number;
}

function drained(stream: Connection["stream"]): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
}

function bindValue(value: PgValue): Buffer | string | null {
  if (value === null || typeof value === "string") return value;
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  if (typeof value === "boolean") return value ? "t" : "f";
  // In text "-0" would be read as 0 by integers only; NaN and infinities are spelt as JavaScript has them.
  return String(value);
}

// Numbers of types never change (pg_type.dat in the server's catalogue).
function readCell(type: number, text: string): PgCell {
  switch (type) {
    case 16:
      return text === "t";
    case 17:
      return readBytes(text);
    case 20:
      return readBigint(text);
    case 21:
    case 23:
    case 26:
    case 700:
    case 701:
      return Number(text);
    default:
      return text;
  }
}

function readBytes(text: string): Uint8Array {
  if (!text.startsWith("\\x")) throw new StoreError("unsupported", "bytea_output must be hex");
  // A copy of its own: small buffers share one store, which would travel to other threads whole.
  return new Uint8Array(Buffer.from(text.slice(2), "hex"));
}

function readBigint(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}
