import { describe, expect, test } from "vitest";

import { readStatement } from "./clickhouse-sql-text.ts";

const PUBLISHED = new Set(["lab.calls", "lab.own", "other.calls", 'lab.x"y']);
const textOf = (sql: string): string => readStatement(sql, PUBLISHED).text;

describe("a tenant's statement", () => {
  test.each([
    ["SELECT 1", "SELECT 1"],
    ["  SELECT 1 ; ; ", "SELECT 1"],
    ["SELECT/**/1 -- one\n, /* two\n */ 2 --", "SELECT 1 , 2"],
    [
      "SELECT '-- no comment', '/*', 'it''s', 'a\\'b;c'",
      "SELECT '-- no comment', '/*', 'it''s', 'a\\'b;c'",
    ],
    ['SELECT "a;b", `c--d`, "e""f"', 'SELECT `a;b`, `c--d`, `e"f`'],
    ["SELECT 1e-5, 0x1F, .5, a.1, x::Int8", "SELECT 1e-5, 0x1F, .5, a.1, x::Int8"],
    ["SELECT format('{}', 1)", "SELECT format('{}', 1)"],
    ['SELECT "format", "into", "settings"', "SELECT `format`, `into`, `settings`"],
    ["SELECT * FROM lab.calls", "SELECT * FROM `calls`"],
    ["SELECT calls.a, lab.calls.b FROM lab . calls", "SELECT calls.a, `calls`.b FROM `calls`"],
    ['SELECT * FROM "lab"."calls"', "SELECT * FROM `calls`"],
    ["SELECT * FROM lab.calls AS calls", "SELECT * FROM `custody_table_1` AS calls"],
    [
      "SELECT * FROM lab.calls JOIN other.calls USING (a)",
      "SELECT * FROM `calls` JOIN `custody_table_2` USING (a)",
    ],
    ['SELECT * FROM lab."x""y"', "SELECT * FROM `custody_table_1`"],
    ["SELECT a.lab.calls FROM lab.none", "SELECT a.lab.calls FROM lab.none"],
    ["", ""],
    ["-- nothing", ""],
  ])("%s is read word by word", (sql, expected) => {
    expect(textOf(sql)).toBe(expected);
  });

  test.each([
    "SELECT 1; SELECT 2",
    "SELECT 1\0",
    "SELECT '\ud800'",
    "SELECT 'open",
    'SELECT "open',
    "SELECT /* open",
    "SELECT 1 # hash",
    "SELECT $1",
    "SELECT $a$text$a$",
    "SELECT ?",
    "SELECT @@version",
    "SELECT {a:String}",
    "SELECT 1 \\G",
    "SELECT ‘curly’",
    "SELECT 1 − 1",
    "SELECT naïve",
    'SELECT "two\nlines"',
    'SELECT "two\\nlines"',
    'SELECT "a\u2028b"',
    "SELECT 1)",
    "SELECT 1) FROM (SELECT 1",
    "SELECT 1 INTO OUTFILE 'x'",
    "SELECT 1 FORMAT CSV",
    "SELECT 1 settings readonly = 0",
  ])("%j is refused", (sql) => {
    expect(() => textOf(sql)).toThrow("the SQL is refused");
  });
});
