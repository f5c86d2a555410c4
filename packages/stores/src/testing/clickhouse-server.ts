import { connectClickhouse, parseClickhouseUrl } from "../drivers/clickhouse.ts";
import { quoteClickhouseName, textLiteral } from "../drivers/clickhouse-text.ts";
import { scopeFor } from "./scope.ts";

const scope = scopeFor("tests");

/** The URL of a test's ClickHouse with another path. */
export function withPath(url: string, path: string): string {
  const [before = "", query = ""] = url.split(/\?(.*)/s, 2);
  const server = before.replace(/^(\w+:\/\/[^/]*).*$/, "$1");
  return `${server}/${path}${query === "" ? "" : `?${query}`}`;
}

/** Drops the databases of an installation that a test made. */
export async function dropDatabases(url: string, prefix: string): Promise<void> {
  await using server = await connectClickhouse(parseClickhouseUrl(url));
  const { rows } = await server.select(scope, {
    doing: "list databases",
    sql: `SELECT name FROM system.databases
      WHERE name = ${textLiteral(prefix)} OR startsWith(name, ${textLiteral(`${prefix}_`)})`,
  });
  for (const [name] of rows) {
    const sql = `DROP DATABASE ${quoteClickhouseName(String(name))} SYNC`;
    await server.run(scope, { doing: "tidy up", sql });
  }
}
