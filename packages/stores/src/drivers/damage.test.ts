import { expect, test } from "vitest";

import { mapDuckdbError } from "./duckdb.ts";
import { mapSqliteError } from "./sqlite.ts";

// Texts as DuckDB 1.5 was met to say them of files that were damaged, and of statements.
test.each([
  [
    'IO Error: Could not read enough bytes from file "a.duckdb": attempted to read 262144 bytes from location 3682304',
    "corrupt",
  ],
  ['IO Error: The file "a.duckdb" exists, but it is not a valid DuckDB database file!', "corrupt"],
  [
    "IO Error: Corrupt database file: computed checksum 5381 does not match stored checksum 0 in block at location 12288",
    "corrupt",
  ],
  [
    'IO Error: Failure while replaying WAL file "a.duckdb.wal": Corrupt WAL file: entry at byte position 155 computed checksum 4488201785477171868 does not match stored checksum 785800923',
    "corrupt",
  ],
  ["Catalog Error: Scalar Function with name checksum does not exist!", "refused"],
  ["Invalid Input Error: IO Error: Corrupt database file", "refused"],
  ['IO Error: Could not write file "a.duckdb": No space left on device', "full"],
])("DuckDB's %j is told as %s", (message, code) => {
  expect(mapDuckdbError("open", new Error(message))).toMatchObject({ code });
});

test.each([
  [11, "database disk image is malformed", "corrupt"],
  [26, "file is not a database", "corrupt"],
  [522, "disk I/O error", "corrupt"],
  [1, "no such table: collection", "corrupt"],
  [1, "no such column: x", "refused"],
  [778, "disk I/O error", "unavailable"],
])("SQLite's %i, %j, is told as %s", (errcode, message, code) => {
  const cause = Object.assign(new Error(message), { errcode });
  expect(mapSqliteError("read", cause)).toMatchObject({ code });
});
