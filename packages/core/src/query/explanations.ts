import { parseFilter } from "@custody/contract/filter";
import type { Scope } from "@custody/stores/scope";

import type { Custody } from "../custody.ts";
import type { Explanation } from "../reports.ts";
import type { ProjectedRole, Stores } from "../stores.ts";
import { filterOf, findQuery, searchQuery, SQL_DEFAULTS } from "./reads.ts";
import type { Reads, ReadyStore } from "./reads.ts";

/** Makes the library's explanations: the questions of the reading half, answered with the engine's plan. */
export function createExplanations(
  reads: Reads,
  { stores }: { readonly stores: Stores },
): Custody["explain"] {
  return {
    find: async (scope, type, { after, ...options } = {}) => {
      const at = await reads.at(scope, "document", type, after);
      return explanation(at, at.store.explain(at.scope, at.collection, findQuery(at, options)));
    },
    search: async (scope, type, { after, ...options }) => {
      const at = await reads.at(scope, "search", type, after);
      return explanation(at, at.store.explain(at.scope, at.collection, searchQuery(at, options)));
    },
    series: async (scope, type, { after, ...query }) => {
      const at = await reads.at(scope, "series", type, after);
      return explanation(at, at.store.explain(at.scope, at.collection, query));
    },
    aggregate: async (scope, type, { after, filter, ...query }) => {
      const at = await reads.at(scope, "analytics", type, after);
      const asked = { ...query, ...(filter === undefined ? {} : { filter: parseFilter(filter) }) };
      return explanation(at, at.store.explain(at.scope, at.collection, asked));
    },
    table: async (scope, name, { after, filter, ...query }) => {
      const at = await reads.at(scope, "relational", name, after);
      const asked = { ...query, filter: filterOf(filter) };
      return explanation(at, at.store.explain(at.scope, at.collection, asked));
    },
    graph: async (scope, { after, ...request }) => {
      const at = await reads.at(scope, "graph", "graph", after);
      return explanation(at, at.store.explain(at.scope, at.collection, request));
    },
    sql: async (scope: Scope, statement, { after, ...bounds } = {}) => {
      const at = await reads.sqlScope(scope, after);
      const store = await stores.projected("analytics");
      const plan = await store.explainSql(at, { statement, ...SQL_DEFAULTS, ...bounds });
      return { role: store.role, engine: store.engine, plan };
    },
  };
}

async function explanation(
  { store, collection }: ReadyStore<ProjectedRole>,
  plan: Promise<readonly string[]>,
): Promise<Explanation> {
  const { role, engine } = store;
  const { name, generation } = collection;
  return { role, engine, collection: name, generation, plan: await plan };
}
