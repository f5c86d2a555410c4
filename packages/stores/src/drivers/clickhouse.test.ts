import { describe, expect, test } from "vitest";

import { ClickHouseError } from "@clickhouse/client";

import { mapClickhouseError } from "./clickhouse-errors.ts";
import { RowBinaryWriter } from "./clickhouse-rows.ts";
import {
  doubleLiteral,
  quoteClickhouseName,
  textLiteral,
  wholeLiteral,
} from "./clickhouse-text.ts";
import { checkVersion, parseClickhouseUrl, readerSettings } from "./clickhouse.ts";

describe("the URL of ClickHouse", () => {
  test("its ports are those of HTTP, with and without TLS", () => {
    expect(parseClickhouseUrl("clickhouse://db/custody").hosts).toEqual([
      { host: "db", port: 8123 },
    ]);
    expect(parseClickhouseUrl("clickhouses://db").hosts).toEqual([{ host: "db", port: 8443 }]);
    expect(parseClickhouseUrl("clickhouse://db?tls=true").hosts).toEqual([
      { host: "db", port: 8443 },
    ]);
    expect(parseClickhouseUrl("clickhouses://db:9440").hosts).toEqual([{ host: "db", port: 9440 }]);
  });

  test("people's SQL has the account that is named for it, and never the writer's password", () => {
    const settings = parseClickhouseUrl("clickhouse://writer:secret@db/custody?sql-user=reader");
    expect(readerSettings(settings)).toMatchObject({ user: "reader", path: "custody" });
    expect(JSON.stringify(readerSettings(settings))).not.toContain("secret");
    expect(readerSettings(parseClickhouseUrl("clickhouse://writer:secret@db"))).toBeUndefined();
  });
});

describe("a version of ClickHouse", () => {
  test.each(["24.8.1.1", "24.12.3.4", "25.1.1.1", "26.7.2.1"])("%s is new enough", (version) => {
    expect(() => checkVersion(version)).not.toThrow();
  });

  test.each(["24.7.9.9", "23.12.1.1", "1.1.54", ""])("%s is too old, and is told so", (version) => {
    expect(() => checkVersion(version)).toThrow(
      `ClickHouse ${version} is too old: Custody needs 24.8 or newer`,
    );
  });
});

describe("an error of ClickHouse", () => {
  const from = (code: string, type: string) =>
    mapClickhouseError(
      "write audit/scan",
      new ClickHouseError({ message: "Cannot parse 'a secret'", code, type }),
    );

  test.each([
    ["159", "TIMEOUT_EXCEEDED", "unavailable"],
    ["202", "TOO_MANY_SIMULTANEOUS_QUERIES", "unavailable"],
    ["241", "MEMORY_LIMIT_EXCEEDED", "unavailable"],
    ["252", "TOO_MANY_PARTS", "unavailable"],
    ["497", "ACCESS_DENIED", "unavailable"],
    ["516", "AUTHENTICATION_FAILED", "unavailable"],
    ["243", "NOT_ENOUGH_SPACE", "full"],
    ["164", "READONLY", "read-only"],
    ["60", "UNKNOWN_TABLE", "corrupt"],
    ["40", "CHECKSUM_DOESNT_MATCH", "corrupt"],
    ["115", "UNKNOWN_SETTING", "unsupported"],
    ["62", "SYNTAX_ERROR", "refused"],
    ["27", "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "refused"],
  ])("%s %s is %s, and its text is kept out of the message", (code, type, expected) => {
    const error = from(code, type);
    expect(error.code).toBe(expected);
    expect(error.message).toBe(`write audit/scan: ClickHouse says ${type} (${code})`);
  });

  test("whatever else went wrong on the way is unavailable, and may be tried again", () => {
    expect(mapClickhouseError("ask", new Error("socket hang up"))).toMatchObject({
      code: "unavailable",
      retryable: true,
      message: "ask: ClickHouse cannot be reached",
    });
  });
});

describe("literals", () => {
  test("text and names end where they are meant to", () => {
    expect(textLiteral(`it's \\ "x" \0 é`)).toBe(`'it\\'s \\\\ "x" \\0 é'`);
    expect(quoteClickhouseName("a`b\\c'd")).toBe("`a\\`b\\\\c'd`");
  });

  test("numbers keep every bit", () => {
    expect(wholeLiteral(-9_223_372_036_854_775_808n)).toBe("toInt64('-9223372036854775808')");
    expect(doubleLiteral(-0)).toBe("reinterpretAsFloat64(toUInt64('9223372036854775808'))");
    expect(doubleLiteral(0.1)).toBe("reinterpretAsFloat64(toUInt64('4591870180066957722'))");
  });
});

describe("rows in binary", () => {
  const written = (write: (writer: RowBinaryWriter) => void): string => {
    const writer = new RowBinaryWriter();
    write(writer);
    return Buffer.concat(writer.take()).toString("hex");
  };

  test("values are written as the format's page has them", () => {
    expect(written((rows) => rows.text("é"))).toBe("02c3a9");
    expect(written((rows) => rows.text("x".repeat(200)))).toBe(`c801${"78".repeat(200)}`);
    expect(written((rows) => rows.text("é".repeat(64)))).toBe(`8001${"c3a9".repeat(64)}`);
    expect(written((rows) => rows.int64(-1))).toBe("ffffffffffffffff");
    expect(written((rows) => rows.int64(9_007_199_254_740_991))).toBe("ffffffffffff1f00");
    expect(written((rows) => rows.int64(9_223_372_036_854_775_807n))).toBe("ffffffffffffff7f");
    expect(written((rows) => rows.double(-0))).toBe("0000000000000080");
    expect(written((rows) => rows.float(0.5))).toBe("0000003f");
    expect(written((rows) => rows.uint16(258))).toBe("0201");
    expect(written((rows) => rows.length(300))).toBe("ac02");
  });

  test("texts beyond the size of a part are whole", () => {
    const long = "日".repeat(300_000);
    const writer = new RowBinaryWriter();
    writer.text("before");
    writer.text(long);
    writer.text("after");
    expect(writer.bytes).toBe(7 + 3 + 900_000 + 6);
    const bytes = Buffer.concat(writer.take());
    expect(bytes.subarray(0, 7).toString()).toBe("\u0006before");
    expect(bytes.subarray(10, -6).toString()).toBe(long);
    expect(bytes.subarray(-6).toString()).toBe("\u0005after");
    expect(writer.bytes).toBe(0);
  });
});
