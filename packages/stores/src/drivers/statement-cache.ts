import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Prepares a statement, or takes it from the last ones used. */
export type StatementCache = (text: string) => StatementSync;

/** Keeps the statements of one connection that were used last. */
export function cacheStatements(database: DatabaseSync, statementsMax = 64): StatementCache {
  const statements = new Map<string, StatementSync>();
  return (text) => {
    const statement = statements.get(text) ?? database.prepare(text);
    statements.delete(text);
    statements.set(text, statement);
    const oldest = statements.keys().next();
    if (statements.size > statementsMax && oldest.done !== true) statements.delete(oldest.value);
    return statement;
  };
}
