import type { EngineUrls } from "@custody/server/open-stores";
import { TestDatabase } from "@custody/stores/testing/postgresql-database";

/** A database of its own on a PostgreSQL server for the journal, the tables and the series of one test. */
export async function freshDatabase(
  server: string,
  onEnd: (end: () => Promise<void>) => void,
): Promise<TestDatabase> {
  const database = new TestDatabase(server);
  await database.create();
  onEnd(() => database[Symbol.asyncDispose]());
  return database;
}

/** The roles that PostgreSQL plays, by one URL; the others are embedded. */
export function onPostgresql(url: string): EngineUrls {
  return { relational: url, series: url };
}
