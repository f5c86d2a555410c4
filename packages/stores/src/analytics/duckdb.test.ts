import { duckdbFaults } from "../testing/duckdb-faults.ts";
import { describeAnalytics } from "./conformance.ts";
import { openDuckdbAnalytics } from "./duckdb.ts";

const BOUNDS = { lockWaitMs: 1_000, idleMs: 5_000 };

describeAnalytics("duckdb", {
  open: async (home, options) =>
    await openDuckdbAnalytics({ directory: home, ...BOUNDS, ...options }),
  child: {
    module: new URL("./duckdb.ts", import.meta.url).href,
    open: "engine.openDuckdbAnalytics({ directory: home })",
  },
  faults: duckdbFaults("analytics", {
    alter: "UPDATE _custody.rows_1 SET title = 'altered' WHERE _id = $1",
    lose: "DELETE FROM _custody.rows_1 WHERE _id = $1",
    invent: "INSERT INTO _custody.rows_1 (_id, _sequence, title) VALUES ($1, 1, 'invented')",
  }),
});
