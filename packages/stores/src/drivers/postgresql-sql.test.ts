import { expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { checkPostgresqlVersion } from "./postgresql-connection.ts";
import { mapPostgresqlError } from "./postgresql-errors.ts";
import { copyLine } from "./postgresql-session.ts";
import {
  originalText,
  pgName,
  serverNameOf,
  sql,
  statementText,
  storedText,
  textArray,
} from "./postgresql-sql.ts";
import { openPostgresql } from "./postgresql.ts";
import { joinConditions, negated, verbatim } from "./sql-fragment.ts";

test("values are numbered in the order of their places, also in fragments that are put in", () => {
  const inner = sql`a = ${1} AND b ? ${"k"}`;
  const statement = sql`SELECT ${verbatim("c")} FROM t WHERE ${inner} LIMIT ${5}`;
  expect(statementText(statement)).toBe("SELECT c FROM t WHERE a = $1 AND b ? $2 LIMIT $3");
  expect(statement.values).toEqual([1, "k", 5]);
});

test("conditions are joined and negated with their values", () => {
  const joined = joinConditions([sql`a = ${1}`, sql`b = ${2}`, sql`c = ${3}`], "OR");
  expect(statementText(sql`${negated(joined)}`)).toBe(
    "((a = $1 OR (b = $2 OR c = $3))) IS NOT TRUE",
  );
  expect(joined.values).toEqual([1, 2, 3]);
});

test("a statement of more values than the protocol counts is refused", () => {
  const many = (count: number) => ({
    text: "",
    values: Array.from({ length: count }, () => 1),
  });
  expect(sql`${many(65_535)}`.values).toHaveLength(65_535);
  expect(() => sql`${many(65_535)} ${1}`).toThrow(
    new StoreError("limit", "a statement binds at most 65535 values"),
  );
});

test("text with NUL is stored without, comes back, and keeps its order and prefixes", () => {
  expect(storedText("a\0b")).toBe("a\u0001\u0001b");
  expect(storedText("a\u0001b")).toBe("a\u0001\u0002b");
  expect(storedText("plain é 😀")).toBe("plain é 😀");
  const texts = [
    "",
    "\0",
    "\0\0",
    "\0\u0001",
    "\u0001",
    "\u0001\0",
    "\u0002",
    "a",
    "a\0",
    "a\u0001",
  ];
  expect(texts.map((text) => originalText(storedText(text)))).toEqual(texts);
  const stored = texts.map((text) => Buffer.from(storedText(text)));
  expect(stored.toSorted((left, right) => Buffer.compare(left, right))).toEqual(stored);
});

test("names are quoted, and long ones cut so that they stay apart", () => {
  expect(pgName("my schema", 'a"b')).toBe('"my schema"."a""b"');
  const long = "é".repeat(40);
  expect(serverNameOf("x".repeat(63))).toBe("x".repeat(63));
  expect(serverNameOf(`${long}1`)).toMatch(/^é{23}~[0-9a-f]{16}$/);
  expect(serverNameOf(`${long}1`)).not.toBe(serverNameOf(`${long}2`));
  expect(() => pgName("a\0")).toThrow("a name cannot hold NUL");
});

test("arrays are written in the server's binary form", () => {
  const { text, values } = textArray(["é", null]);
  expect(text.endsWith("::text[]")).toBe(true);
  expect(Buffer.from(values[0] as Uint8Array).toString("hex")).toBe(
    "00000001" + "00000001" + "00000019" + "00000002" + "00000001" + "00000002c3a9" + "ffffffff",
  );
  expect(textArray([]).values[0]).toHaveLength(12);
});

test("a line of COPY escapes what would end a field or a row", () => {
  expect(copyLine(["a\tb\nc\\", null, 5, 6n, true, ""])).toBe("a\\tb\\nc\\\\\t\\N\t5\t6\ttrue\t\n");
});

test.each([
  ["23505", "conflict"],
  ["23502", "refused"],
  ["23514", "refused"],
  ["40001", "unavailable"],
  ["40P01", "unavailable"],
  ["55P03", "unavailable"],
  ["57014", "unavailable"],
  ["57P01", "unavailable"],
  ["57P03", "unavailable"],
  ["53300", "unavailable"],
  ["08006", "unavailable"],
  ["28P01", "unavailable"],
  ["53100", "full"],
  ["25006", "read-only"],
  ["42501", "read-only"],
  ["42P01", "corrupt"],
  ["XX001", "corrupt"],
  ["54000", "limit"],
  ["0A000", "unsupported"],
  ["22P02", "refused"],
  ["42601", "refused"],
])("SQLSTATE %s is %s", (code, expected) => {
  const cause = Object.assign(new Error("said"), { code, severity: "ERROR" });
  expect(mapPostgresqlError("try", cause).code).toBe(expected);
});

test("errors of data do not repeat the data, and of the network are unavailable", () => {
  const data = Object.assign(new Error('invalid input: "secret"'), {
    code: "22P02",
    severity: "ERROR",
  });
  expect(mapPostgresqlError("try", data).message).toBe(
    "PostgreSQL could not try: the value is out of bounds (SQLSTATE 22P02)",
  );
  const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
  expect(mapPostgresqlError("try", reset)).toMatchObject({ code: "unavailable", retryable: true });
});

test("a version before 15 is too old, and is told so", () => {
  checkPostgresqlVersion(150_000, "15.0");
  expect(() => checkPostgresqlVersion(140_011, "14.11")).toThrow(
    new StoreError("unsupported", "PostgreSQL 14.11 is too old: Custody needs version 15 or newer"),
  );
});

test.each([
  ["postgresql://u:s3cret@db?pool=1", "pool is 2 or more"],
  ["postgresql://u:s3cret@db?speed=1", 'it has no option "speed"'],
  ["mysql://u:s3cret@db", "its scheme is one of postgresql, postgres, timescale"],
])("%s is refused without its password", async (url, reason) => {
  const opened = openPostgresql({ url, clock: Date.now });
  await expect(opened).rejects.toMatchObject({
    code: "refused",
    message: expect.stringContaining(reason),
  });
  await expect(opened).rejects.not.toMatchObject({ message: expect.stringContaining("s3cret") });
});
