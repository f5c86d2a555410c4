import { duckdbFaults } from "../testing/duckdb-faults.ts";
import type { ProjectionFixture } from "../testing/conformance-projection.ts";
import { describeAnalytics } from "./conformance.ts";
import { DUCKDB_SQL } from "./conformance-dialect.ts";
import { openDuckdbAnalytics } from "./duckdb.ts";
import type { AnalyticsStore } from "./port.ts";

const BOUNDS = { lockWaitMs: 1_000, idleMs: 5_000 };

const FIXTURE: ProjectionFixture<AnalyticsStore> = {
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
};

describeAnalytics("duckdb", FIXTURE, DUCKDB_SQL);
