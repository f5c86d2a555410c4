import neo4j from "neo4j-driver";

import { parseNeo4jUrl } from "../drivers/neo4j-settings.ts";

type RawRow = Readonly<Record<string, unknown>>;

const WAIT_MS = 10_000;

/** A Neo4j server behind the store's back, by the vendor's own driver. */
export class RawNeo4j implements AsyncDisposable {
  readonly #driver: neo4j.Driver;
  readonly #labels = new Set<string>();

  constructor(url: string) {
    const { address, auth } = parseNeo4jUrl(url);
    this.#driver = neo4j.driver(address, auth, { useBigInt: true });
  }

  async run(statement: string, parameters: object = {}): Promise<readonly RawRow[]> {
    const { records } = await this.#driver.executeQuery(statement, parameters);
    return records.map((record) => record.toObject());
  }

  /**
   * Removes the rows and the bookkeeping of an installation. Constraints stay until `drop`, as each
   * change of the schema makes the server plan all statements anew.
   */
  async empty(installation: string): Promise<void> {
    const graphs = await this.run(
      "MATCH (g:CustodyGraph {installation: $installation}) RETURN g.key AS key",
      { installation },
    );
    for (const { key } of graphs) {
      this.#labels.add(String(key));
      await this.run(`MATCH (n:${String(key)}) DETACH DELETE n`);
    }
    const keys = graphs.map(({ key }) => key);
    await this.run("UNWIND $keys AS key MATCH (g:CustodyGraph|CustodyGate {key: key}) DELETE g", {
      keys,
    });
  }

  /** Removes all that an installation kept on the server. */
  async drop(installation: string): Promise<void> {
    await this.empty(installation);
    for (const label of this.#labels) await this.run(`DROP CONSTRAINT ${label} IF EXISTS`);
  }

  /** Runs a statement in a transaction that stays open until the answer is called. */
  async hold(
    statement: string,
    parameters: object,
  ): Promise<(how: "commit" | "rollback") => Promise<void>> {
    const session = this.#driver.session();
    const transaction = await session.beginTransaction();
    await transaction.run(statement, parameters);
    return async (how) => {
      await transaction[how]();
      await session.close();
    };
  }

  /** Waits until a transaction that was begun to do this waits for a lock. */
  async untilBlocked(doing: string): Promise<void> {
    await this.#transactions("metaData.doing = $doing AND status STARTS WITH 'Blocked'", doing);
  }

  /** Ends, as an operator would, the running transactions that were begun to do this. */
  async terminate(doing: string): Promise<void> {
    const ids = await this.#transactions(
      "metaData.doing = $doing AND currentQuery CONTAINS 'sum('",
      doing,
    );
    for (const id of ids) await this.run(`TERMINATE TRANSACTIONS '${id}'`);
  }

  /** Waits for transactions of which something is true. */
  async #transactions(isMeant: string, doing: string): Promise<readonly string[]> {
    const find = `SHOW TRANSACTIONS YIELD transactionId, metaData, status, currentQuery
      WHERE ${isMeant} RETURN transactionId AS id`;
    const until = Date.now() + WAIT_MS;
    while (Date.now() < until) {
      const found = await this.run(find, { doing });
      if (found.length > 0) return found.map(({ id }) => String(id));
    }
    throw new Error(`no transaction of which ${isMeant} within ${WAIT_MS} ms`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver.close();
  }
}
