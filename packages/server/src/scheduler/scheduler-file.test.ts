import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { openSchedulerFile, readSchedulerMemory } from "./scheduler-file.ts";
import type { JobRun } from "./scheduler.ts";

const OWNER = { pid: 7, since: 0, command: "custody scheduler" };
const RUN: JobRun = {
  job: "hourly",
  scheduledAt: 1_000,
  startedAt: 2_000,
  endedAt: 3_000,
  attempt: 1,
  outcome: "done",
  summary: "3 entries backed up",
};

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "custody-scheduler-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test("what is remembered is there at the next start", () => {
  const data = directory();
  {
    using file = openSchedulerFile(data, OWNER);
    file.memory.states.set("hourly", { scheduledAt: 1_000, last: RUN, lastDoneAt: 3_000 });
    file.memory.unrecorded.push(RUN);
    file.save();
  }
  using again = openSchedulerFile(data, OWNER);
  expect(again.memory).toEqual({
    states: new Map([["hourly", { scheduledAt: 1_000, last: RUN, lastDoneAt: 3_000 }]]),
    unrecorded: [RUN],
  });
});

test("one process schedules an installation", () => {
  const data = directory();
  using _first = openSchedulerFile(data, OWNER);
  expect(() => openSchedulerFile(data, OWNER)).toThrow(
    expect.objectContaining({
      code: "unavailable",
      message: expect.stringContaining("process 7 (custody scheduler)") as string,
    }),
  );
});

test("a memory that is damaged is as good as none", () => {
  const data = directory();
  using file = openSchedulerFile(data, OWNER);
  file.save();
  writeFileSync(join(data, "scheduler/runs.json"), '{"version":1,"jo');
  expect(readSchedulerMemory(data)).toEqual({ states: new Map(), unrecorded: [] });
});

test("the newest 200 of the runs that could not be recorded are kept", () => {
  const data = directory();
  using file = openSchedulerFile(data, OWNER);
  for (let at = 1; at <= 201; at += 1) file.memory.unrecorded.push({ ...RUN, startedAt: at });
  file.save();
  const { unrecorded } = readSchedulerMemory(data);
  expect([unrecorded.length, unrecorded[0]?.startedAt]).toEqual([200, 2]);
});
