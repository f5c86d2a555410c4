import type { DuckDBConnection } from "@duckdb/node-api";

import { duckdbCall } from "./duckdb.ts";
import type { DuckdbFile } from "./duckdb.ts";

/**
 * One connection used by one piece of work at a time; the others wait in line.
 *
 * DuckDB runs a connection's statements one after another anyway, and a transaction belongs to the
 * connection, so two pieces of work must never share one.
 */
export class DuckdbConnectionQueue {
  readonly #file: DuckdbFile;
  #connection: Promise<DuckDBConnection> | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(file: DuckdbFile) {
    this.#file = file;
  }

  /** Waits for the connection; whoever gets it must call `release`. */
  async take(): Promise<{ readonly connection: DuckDBConnection; readonly release: () => void }> {
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    await before;
    try {
      this.#connection ??= this.#file.connect();
      return { connection: await this.#connection, release: resolve };
    } catch (cause) {
      this.#connection = undefined;
      resolve();
      throw cause;
    }
  }

  /** Runs work in a transaction that is committed after it, or rolled back when it throws. */
  async transaction<Result>(
    doing: string,
    work: (connection: DuckDBConnection) => Promise<Result>,
  ): Promise<Result> {
    return await this.#between("BEGIN TRANSACTION", doing, work);
  }

  /** Runs work on one snapshot that cannot write; an aborted signal ends its statement. */
  async snapshot<Result>(
    doing: string,
    signal: AbortSignal,
    work: (connection: DuckDBConnection) => Promise<Result>,
  ): Promise<Result> {
    return await this.#between("BEGIN TRANSACTION READ ONLY", doing, async (connection) => {
      signal.throwIfAborted();
      const interrupt = (): void => connection.interrupt();
      signal.addEventListener("abort", interrupt);
      try {
        return await work(connection);
      } finally {
        signal.removeEventListener("abort", interrupt);
      }
    });
  }

  async #between<Result>(
    begin: string,
    doing: string,
    work: (connection: DuckDBConnection) => Promise<Result>,
  ): Promise<Result> {
    const { connection, release } = await this.take();
    try {
      return await duckdbCall(doing, async () => {
        await connection.run(begin);
        try {
          const result = await work(connection);
          await connection.run("COMMIT");
          return result;
        } catch (cause) {
          await rollBack(connection);
          throw cause;
        }
      });
    } finally {
      release();
    }
  }
}

/** Ends a transaction that failed; one that the engine has ended itself is no error. */
export async function rollBack(connection: DuckDBConnection): Promise<void> {
  await connection.run("ROLLBACK").catch((cause: unknown) => {
    const isEnded = cause instanceof Error && /no transaction is active/i.test(cause.message);
    if (!isEnded) throw cause;
  });
}
