import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { sqliteCall } from "../drivers/sqlite.ts";
import { deliver } from "../testing/conformance-projection.ts";
import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import type { TemporaryDirectory } from "../testing/temporary-directory.ts";
import {
  ATTEMPT,
  ATTEMPT_CASE,
  ATTEMPTS,
  BY_MODEL,
  summaryCollection,
} from "./conformance-case.ts";
import { RelationalFile } from "./sqlite-file.ts";

describe("a relational file", () => {
  let home: TemporaryDirectory;
  let file: RelationalFile;
  beforeEach(async () => {
    home = await makeTemporaryDirectory();
    file = RelationalFile.open(join(home.path, "relational.sqlite"));
  });
  afterEach(async () => {
    file.close();
    await home[Symbol.asyncDispose]();
  });
  const fill = (sequence: number): void => {
    const records = Array.from({ length: 1_000 }, (_, n) => ({
      id: `${sequence}-${n}`,
      sequence,
      text: ATTEMPT_CASE.text(n, sequence),
    }));
    sqliteCall("fill", () => file.apply(ATTEMPTS, deliver(ATTEMPT, records)));
  };
  const count = (): unknown => file.counts()[0]?.records;

  test("that has no space left says so, keeps what it had, and goes on once there is space", () => {
    file.prepare(ATTEMPTS);
    fill(1);
    file.database.exec("PRAGMA max_page_count = 100");
    expect(() => fill(2)).toThrow(expect.objectContaining({ code: "full", retryable: true }));
    expect(count()).toBe(1_000);
    expect(file.checkpoint(ATTEMPTS)).toBe(1);
    file.database.exec("PRAGMA max_page_count = 100000");
    fill(2);
    expect(count()).toBe(2_000);
  });

  test.each([
    "UPDATE redteam__attempts_by_model__g1_groups SET m0 = m0 + 1",
    "UPDATE redteam__attempts_by_model__g1_groups SET m3 = m3 + 1",
    "UPDATE redteam__attempts_by_model__g1_groups SET m6 = m6 + 1",
    "UPDATE redteam__attempts_by_model__g1_groups SET k0 = 'other'",
    "UPDATE redteam__attempts_by_model__g1_groups SET records = records + 1",
    "UPDATE redteam__attempts_by_model__g1_counts SET count = 9",
    "DELETE FROM redteam__attempts_by_model__g1_counts",
  ])("has another digest after %s", (statement) => {
    const collection = summaryCollection(BY_MODEL);
    file.prepare(collection);
    const text = '{"model":"x","tokens":5,"harm":0.5,"verdict":"harmful","findings":["f"]}';
    file.apply(collection, deliver(ATTEMPT, [{ id: "a", sequence: 1, text }]));
    const contents = (): readonly unknown[] => [...file.table(collection).contents()];
    const before = contents();
    expect(before).toHaveLength(1);
    expect(file.database.prepare(statement).run().changes).toBeGreaterThan(0);
    expect(contents()).not.toEqual(before);
  });
});
