import { expect, test } from "vitest";

import { defaultJobs, defaultPolicy, parsePolicy } from "./policy.ts";

const goodCron = (): undefined => undefined;

function parse(policy: unknown): ReturnType<typeof parsePolicy> {
  return parsePolicy(JSON.stringify(policy), goodCron);
}

const NEAR = { version: 1, repositories: { near: { url: "near" } } };

test("a policy with one repository has the whole schedule", () => {
  const policy = parse(NEAR);
  expect(policy.timeZone).toBe("UTC");
  expect(policy.repositories).toEqual({
    near: {
      url: "near",
      keep: { last: 3, hourly: 48, daily: 30, weekly: 8, monthly: 12, yearly: 7 },
    },
  });
  expect(policy.jobs.map(({ name, every, repository }) => [name, every, repository])).toEqual([
    ["continuous", "* * * * *", "near"],
    ["hourly", "7 * * * *", "near"],
    ["hourly-compact", "37 * * * *", undefined],
    ["daily", "17 1 * * *", "near"],
    ["daily-verify", "27 2 * * *", "near"],
    ["daily-prune", "7 3 * * *", "near"],
    ["daily-reconcile", "47 3 * * 1-6", undefined],
    ["weekly-reconcile", "47 3 * * 0", undefined],
    ["weekly", "57 4 * * 0", "near"],
    ["monthly-drill", "7 6 1 * *", "near"],
  ]);
});

test("long-term backups go to the last repository, and each is pruned", () => {
  const jobs = defaultJobs(["near", "far"]);
  expect(jobs.find(({ name }) => name === "weekly")?.repository).toBe("far");
  expect(jobs.filter(({ kind }) => kind === "prune").map(({ repository }) => repository)).toEqual([
    "near",
    "far",
  ]);
});

test("without a policy the one repository that is given has the same schedule", () => {
  const policy = defaultPolicy({ repository: "s3://bucket/backups", keyBackup: "keys" });
  expect(policy.repositories["default"]?.url).toBe("s3://bucket/backups");
  expect(policy.keyBackup).toEqual({ url: "keys" });
  expect(policy.jobs).toEqual(defaultJobs(["default"]));
});

test("datasets are left out of all but the weekly backup", () => {
  const backups = defaultJobs(["near"]).filter(({ kind }) => kind === "backup");
  expect(backups.map(({ name, tiers }) => [name, tiers])).toEqual([
    ["hourly", ["critical", "important", "per-user"]],
    ["daily", ["critical", "important", "per-user"]],
    ["weekly", undefined],
  ]);
});

const job = { name: "a", kind: "backup", every: "* * * * *" };

test.each([
  ["no JSON", "{", /^the policy is no JSON: /],
  ["another version", { ...NEAR, version: 2 }, /^the policy's version is not 1: /],
  ["no repository", { version: 1 }, "the policy's repositories is missing"],
  ["an empty list of repositories", { version: 1, repositories: {} }, /repositories is empty: /],
  [
    "a repository without a place",
    { version: 1, repositories: { near: {} } },
    "the policy's repositories.near needs either url or urlFile, a file that holds the URL",
  ],
  [
    "a repository with two places",
    { version: 1, repositories: { near: { url: "a", urlFile: "b" } } },
    /repositories\.near needs either url or urlFile/,
  ],
  [
    "a rule that keeps nothing",
    { version: 1, repositories: { near: { url: "a", keep: { daily: 0 } } } },
    /repositories\.near\.keep keeps nothing: /,
  ],
  [
    "a negative number of backups",
    { version: 1, repositories: { near: { url: "a", keep: { daily: -1 } } } },
    "the policy's repositories.near.keep.daily is below 0",
  ],
  [
    "a mistyped member",
    { ...NEAR, tires: {} },
    "the policy's text has no member tires: see docs/reference/backup.md",
  ],
  [
    "a mistyped tier",
    { ...NEAR, jobs: [{ ...job, tiers: ["criticle"] }] },
    "the policy's jobs[0].tiers[0] is no tier: write one of critical, important, per-user, replaceable",
  ],
  [
    "a job of no kind",
    { ...NEAR, jobs: [{ ...job, kind: "copy" }] },
    /^the policy's jobs\[0\]\.kind is no kind of job: write one of ship, backup, /,
  ],
  [
    "a job without a time",
    { ...NEAR, jobs: [{ name: "a", kind: "backup" }] },
    "the policy's jobs[0].every is missing",
  ],
  [
    "two jobs of one name",
    { ...NEAR, jobs: [job, job] },
    "the policy's jobs[1].name is that of another job, a: each needs its own",
  ],
  [
    "a repository that is not there",
    { ...NEAR, jobs: [{ ...job, repository: "far" }] },
    "the policy's jobs[0].repository names no repository, far: there is near",
  ],
  [
    "a member of another kind of job",
    { ...NEAR, jobs: [{ ...job, deep: true }] },
    "the policy's jobs[0].deep means nothing to a job of kind backup: leave it out",
  ],
  [
    "a duration that is none",
    { ...NEAR, tiers: { critical: { newestWithin: "soon" } } },
    "the policy's tiers.critical.newestWithin is no duration: write 90s, 15m, 1h, 7d or 2w",
  ],
])("%s is refused, and the field is named", (_what, policy, message) => {
  const text = typeof policy === "string" ? policy : JSON.stringify(policy);
  let thrown: unknown;
  try {
    parsePolicy(text, goodCron);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ name: "CoreError", code: "usage" });
  const told = thrown instanceof Error ? thrown.message : "";
  if (typeof message === "string") expect(told).toBe(message);
  else expect(told).toMatch(message);
});

test("a time that cron cannot read is refused by its field", () => {
  const policy = JSON.stringify({ ...NEAR, jobs: [job] });
  expect(() => parsePolicy(policy, (every) => `is no time: ${every}`)).toThrow(
    "the policy's jobs[0].every is no time: * * * * *",
  );
});
