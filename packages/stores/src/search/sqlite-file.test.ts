import { readFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { sqliteCall } from "../drivers/sqlite.ts";
import { deliver } from "../testing/conformance-projection.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import { FINDING, FINDING_CASE, FINDINGS } from "./conformance-case.ts";
import { SearchFile } from "./sqlite-file.ts";

describe("a search file", () => {
  let home: TemporaryDirectory;
  let file: SearchFile;
  beforeEach(async () => {
    home = await makeTemporaryDirectory();
    file = SearchFile.open(join(home.path, "search.sqlite"));
    file.prepare(FINDINGS);
  });
  afterEach(async () => {
    file.close();
    await home[Symbol.asyncDispose]();
  });
  const fill = (sequence: number): void => {
    const records = Array.from({ length: 1_000 }, (_, n) => ({
      id: `${sequence}-${n}`,
      sequence,
      text: FINDING_CASE.text(n, sequence),
    }));
    sqliteCall("fill", () => file.apply(FINDINGS, deliver(FINDING, records)));
  };
  const count = (): unknown => file.counts()[0]?.records;

  test("that has no space left says so, keeps what it had, and goes on once there is space", () => {
    fill(1);
    file.database.exec("PRAGMA max_page_count = 40");
    expect(() => fill(2)).toThrow(expect.objectContaining({ code: "full", retryable: true }));
    expect(count()).toBe(1_000);
    expect(file.checkpoint(FINDINGS)).toBe(1);
    file.checkIndex(FINDINGS);
    file.database.exec("PRAGMA max_page_count = 100000");
    fill(2);
    expect(count()).toBe(2_000);
    file.checkIndex(FINDINGS);
  });

  test("with a text of no record, or a damaged index, is corrupt", () => {
    fill(1);
    file.checkIndex(FINDINGS);
    file.database.exec("BEGIN; DELETE FROM redteam__finding__g1_rows WHERE n = 5");
    expect(() => file.checkIndex(FINDINGS)).toThrow(expect.objectContaining({ code: "corrupt" }));
    file.database.exec("ROLLBACK");
    file.checkIndex(FINDINGS);
    file.database.enableDefensive(false);
    file.database.exec(
      `UPDATE redteam__finding__g1_data SET block = zeroblob(length(block))
       WHERE id = (SELECT max(id) FROM redteam__finding__g1_data)`,
    );
    expect(() => sqliteCall("check", () => file.checkIndex(FINDINGS))).toThrow(
      expect.objectContaining({ code: "corrupt" }),
    );
  });

  test("purges also the words of a record that is deleted while a purge goes on", () => {
    const path = join(home.path, "search.sqlite");
    const put = (id: string, sequence: number, title?: string): void => {
      const record =
        title === undefined ? { id, sequence } : { id, sequence, text: `{"title":"${title}"}` };
      file.apply(FINDINGS, deliver(FINDING, [record]));
    };
    for (const [index, id] of ["a", "b", "c", "d"].entries()) put(id, index + 1, `secretword${id}`);
    put("a", 5);
    expect(file.settleStep()).toBe(true);
    put("b", 6);
    let steps = 0;
    while (file.settleStep()) steps += 1;
    expect(steps).toBeLessThan(10);
    const bytes = readFileSync(path);
    // Words of a segment share their beginnings, so each is written as what it adds to the one before.
    expect(bytes.includes("secretworda")).toBe(false);
    expect(bytes.includes("secretwordb")).toBe(false);
    expect(bytes.includes("secretwordc")).toBe(true);
  });
});
