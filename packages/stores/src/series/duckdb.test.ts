import { duckdbFaults } from "../testing/duckdb-faults.ts";
import { describeSeries } from "./conformance.ts";
import { openDuckdbSeries } from "./duckdb.ts";

const BOUNDS = { lockWaitMs: 1_000, idleMs: 5_000 };

describeSeries("duckdb", {
  open: async (home, options) => await openDuckdbSeries({ directory: home, ...BOUNDS, ...options }),
  child: {
    module: new URL("./duckdb.ts", import.meta.url).href,
    open: "engine.openDuckdbSeries({ directory: home })",
  },
  faults: duckdbFaults("series", {
    alter: "UPDATE _custody.rows_1 SET field_0 = field_0 + 1 WHERE _id = $1",
    lose: "DELETE FROM _custody.rows_1 WHERE _id = $1",
    invent: `INSERT INTO _custody.rows_1 (_id, _sequence, _ordinal, _measurement, _at, field_0)
      VALUES ($1, 1, 0, 0, TIMESTAMP '2026-01-01 00:00:00', 1)`,
  }),
});
