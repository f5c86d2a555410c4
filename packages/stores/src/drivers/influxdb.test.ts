import { describe, expect, test } from "vitest";

import { mapInfluxdbError } from "./influxdb-errors.ts";
import { cell, FluxCsv } from "./influxdb-rows.ts";
import { checkInfluxdbVersion, openInfluxdb } from "./influxdb.ts";

const CSV = [
  "#datatype,string,long,dateTime:RFC3339,double,string",
  "#group,false,false,false,false,true",
  "#default,_result,,,,",
  ",result,table,_time,_value,host",
  ',,0,1970-01-01T00:00:00.000000005Z,1.5,"a, ""b"""',
  ",,0,1970-01-01T00:00:00Z,2,日本",
  "",
  "#datatype,string,long,string",
  "#group,false,false,true",
  "#default,_result,,",
  ",result,table,model",
  ',,1," "',
  "",
].join("\r\n");

describe("the driver of InfluxDB", () => {
  test("an answer is read the same however it is broken into pieces", () => {
    for (const size of [1, 7, 1_000]) {
      const bytes = new TextEncoder().encode(CSV);
      const csv = new FluxCsv();
      const rows = [];
      for (let at = 0; at < bytes.length; at += size) {
        rows.push(...csv.read(bytes.subarray(at, at + size)));
      }
      rows.push(...csv.end());
      expect(
        rows.map((row) => [cell(row, "_value"), cell(row, "host"), cell(row, "model")]),
      ).toEqual([
        ["1.5", 'a, "b"', ""],
        ["2", "日本", ""],
        ["", "", " "],
      ]);
    }
  });

  test.each([
    [401, "", "unavailable", true],
    [403, "", "read-only", false],
    [404, '{"message":"bucket not found"}', "refused", false],
    [413, "", "limit", false],
    [422, "", "refused", false],
    [429, "", "unavailable", true],
    [500, '{"error":"engine: cache-max-memory-size exceeded"}', "unavailable", true],
    [500, '{"error":"write: no space left on device"}', "full", true],
    [400, '{"error":"partial write: max-series-per-database limit exceeded"}', "limit", false],
    [503, "", "unavailable", true],
  ])("HTTP %i %s is %s", (statusCode, body, code, retryable) => {
    const cause = Object.assign(new Error("http"), { statusCode, body });
    expect(mapInfluxdbError("write", cause)).toMatchObject({ code, retryable });
  });

  test("what the server quotes of a point is not repeated", () => {
    const body = '{"error":"unable to parse \'calls,who=ana ms=x\': invalid number"}';
    const cause = Object.assign(new Error("http"), { statusCode: 400, body });
    const { message } = mapInfluxdbError("write points", cause);
    expect(message).toBe(
      "InfluxDB could not write points: unable to parse …: invalid number (HTTP 400)",
    );
  });

  test("a version without Flux is unsupported, one without a number passes", () => {
    for (const version of ["1.8.10", "2.7.11", "unknown"]) checkInfluxdbVersion(version);
    for (const version of ["1.7.9", "0.13.0", "3.1.0"]) {
      expect(() => checkInfluxdbVersion(version)).toThrow(
        version.startsWith("3") ? "InfluxDB 3.1.0 has no Flux" : `InfluxDB ${version} is too old`,
      );
    }
  });

  test("a URL that cannot be used is refused at once, without its token", async () => {
    for (const url of [
      "influxdb://:s3cret@h/a.b",
      "influxdb://:s3cret@h/a?x=1",
      "http://:s3cret@h",
    ]) {
      await expect(openInfluxdb(url, Date.now)).rejects.toSatisfy(
        (cause: Error) => cause.name === "StoreError" && !cause.message.includes("s3cret"),
      );
    }
  });
});
