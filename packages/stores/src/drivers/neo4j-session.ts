import type { DateTime, Plan, Record as DriverRecord, Result, Transaction } from "neo4j-driver";

import { plainValue } from "./neo4j-values.ts";
import type { Neo4jGuards, Neo4jRow, Neo4jValue } from "./neo4j-values.ts";

/** What is needed of the driver's module inside of a transaction. */
export interface Neo4jLibrary extends Neo4jGuards {
  readonly types: { readonly DateTime: typeof DateTime };
}

/** Values of a statement, as the driver takes them: whole numbers are `bigint`, `number` is a double. */
export type Neo4jParameters = Readonly<Record<string, unknown>>;

/** The first rows of an answer. */
export interface Neo4jAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Neo4jValue[])[];
  readonly isTruncated: boolean;
}

// Statements are written for this version of the language, whatever the database's default is
// (neo4j.com/docs/cypher-manual/current/queries/select-version).
const LANGUAGE = "CYPHER 5 ";

/** Runs statements inside the transaction that it was given for. */
export class Neo4jSession {
  readonly #transaction: Transaction;
  readonly #library: Neo4jLibrary;

  constructor(transaction: Transaction, library: Neo4jLibrary) {
    this.#transaction = transaction;
    this.#library = library;
  }

  /** Answers all rows. Statements may be sent one after another without waiting for the answers. */
  async run(statement: string, parameters: Neo4jParameters = {}): Promise<readonly Neo4jRow[]> {
    const { records } = await this.#send(statement, parameters);
    return records.map((record) => this.#row(record));
  }

  /** Answers one row after another; what was not asked for yet is not in memory. */
  async *stream(statement: string, parameters: Neo4jParameters = {}): AsyncGenerator<Neo4jRow> {
    for await (const record of this.#send(statement, parameters)) yield this.#row(record);
  }

  /** Answers at most so many rows, and lets the rest go. */
  async first(
    statement: string,
    parameters: Neo4jParameters,
    rowsMax: number,
  ): Promise<Neo4jAnswer> {
    const result = this.#send(statement, parameters);
    const columns = await result.keys();
    const rows: Neo4jValue[][] = [];
    let isTruncated = false;
    for await (const record of result) {
      if (rows.length === rowsMax) {
        isTruncated = true;
        break;
      }
      rows.push(columns.map((column) => plainValue(record.get(column), this.#library)));
    }
    return { columns, rows, isTruncated };
  }

  /** The server's plan of a statement that is not run, one step a line. */
  async explain(statement: string, parameters: Neo4jParameters): Promise<readonly string[]> {
    const { summary } = await this.#send(`EXPLAIN ${statement}`, parameters);
    return summary.plan === false ? [] : planLines(summary.plan, 0);
  }

  /** An instant as a parameter. */
  instant(epochMs: number): unknown {
    const date = new Date(epochMs);
    return new this.#library.types.DateTime(
      date.getUTCFullYear(),
      date.getUTCMonth() + 1,
      date.getUTCDate(),
      date.getUTCHours(),
      date.getUTCMinutes(),
      date.getUTCSeconds(),
      date.getUTCMilliseconds() * 1_000_000,
      0,
    );
  }

  #send(statement: string, parameters: Neo4jParameters): Result {
    return this.#transaction.run(`${LANGUAGE}${statement}`, parameters);
  }

  #row(record: DriverRecord): Neo4jRow {
    const row: Record<string, Neo4jValue> = {};
    for (const name of record.keys) {
      row[String(name)] = plainValue(record.get(name), this.#library);
    }
    return row;
  }
}

function planLines({ operatorType, arguments: details, children }: Plan, depth: number): string[] {
  const { Details: what, EstimatedRows: rows } = details as Readonly<Record<string, unknown>>;
  // The operator's name ends with the database's: `NodeIndexSeek@neo4j`.
  const name = operatorType.replace(/@.*$/, "");
  const about = typeof what === "string" && what !== "" ? ` ${what}` : "";
  const estimate = typeof rows === "number" ? ` (about ${Math.round(rows)} rows)` : "";
  return [
    `${"  ".repeat(depth)}${name}${about}${estimate}`,
    ...children.flatMap((child) => planLines(child, depth + 1)),
  ];
}
