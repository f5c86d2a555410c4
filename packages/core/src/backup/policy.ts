import { z } from "zod";

import { CoreError } from "../errors.ts";
import { TIERS } from "./policy-tiers.ts";
import type { TierRules } from "./policy-tiers.ts";
import type { RetentionRule } from "./retention.ts";

/** What a policy can have done on a schedule. */
export const JOB_KINDS = [
  "ship",
  "backup",
  "verify",
  "drill",
  "prune",
  "reconcile",
  "compact",
] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/** A place by its URL, or by a file that holds the URL, as it may hold a password. */
export interface PolicyPlace {
  readonly url?: string;
  readonly urlFile?: string;
}

/** Something done on a schedule. */
export interface PolicyJob {
  /** Names it in records and messages; unique. */
  readonly name: string;
  readonly kind: JobKind;
  /** When, as cron text, in the policy's time zone. */
  readonly every: string;
  /** Which repository; for the kinds that work on one, default the first. */
  readonly repository?: string;
  /** A backup that reads everything anew. */
  readonly full?: boolean;
  /** For a backup or shipping: the tiers whose new blobs it copies; default all. */
  readonly tiers?: readonly (typeof TIERS)[number][];
  /** For a reconciliation: reads real content again, blobs included. */
  readonly deep?: boolean;
  /** For a reconciliation: mends what differs. */
  readonly repair?: boolean;
}

/** Where an installation is backed up to, how often, and for how long a backup is kept. */
export interface BackupPolicy {
  readonly timeZone: string;
  /** By name, in the order of the file; the first is the default of jobs and commands. */
  readonly repositories: Readonly<Record<string, PolicyPlace & { readonly keep: RetentionRule }>>;
  readonly keyBackup?: PolicyPlace;
  readonly tiers: TierRules;
  readonly jobs: readonly PolicyJob[];
}

/** What a policy that says nothing of retention keeps: two days by hour, a month by day, a year by month. */
export const DEFAULT_KEEP: RetentionRule = {
  last: 3,
  hourly: 48,
  daily: 30,
  weekly: 8,
  monthly: 12,
  yearly: 7,
};

/**
 * Reads a policy from JSON text.
 *
 * @param checkEvery says what is wrong with a cron text, `undefined` when nothing is.
 * @throws CoreError `usage` naming the field, what is wrong with it and what to write.
 */
export function parsePolicy(
  text: string,
  checkEvery: (every: string, timeZone: string) => string | undefined,
): BackupPolicy {
  const parsed = POLICY.safeParse(jsonOf(text));
  if (!parsed.success) throw ofIssue(parsed.error.issues[0]);
  const { timeZone, repositories, tiers, keyBackup, jobs } = parsed.data;
  const policy: BackupPolicy = {
    timeZone,
    repositories,
    tiers,
    ...(keyBackup === undefined ? {} : { keyBackup }),
    jobs: jobs ?? defaultJobs(Object.keys(repositories)),
  };
  checkJobs(policy, checkEvery);
  return policy;
}

/** The policy of an installation that has none of its own: the whole schedule into one repository. */
export function defaultPolicy(places: {
  readonly repository: string;
  readonly keyBackup?: string;
}): BackupPolicy {
  return {
    timeZone: "UTC",
    repositories: { default: { url: places.repository, keep: DEFAULT_KEEP } },
    ...(places.keyBackup === undefined ? {} : { keyBackup: { url: places.keyBackup } }),
    tiers: {},
    jobs: defaultJobs(["default"]),
  };
}

/** The jobs of a policy that names none; the last repository takes the long-term backups. */
export function defaultJobs(repositories: readonly string[]): readonly PolicyJob[] {
  const near = repositories[0] ?? "default";
  const far = repositories.at(-1) ?? near;
  const sooner = TIERS.filter((tier) => tier !== "replaceable");
  const prunes = [...new Set([near, far])].map((repository) => ({
    name: repository === near ? "daily-prune" : `daily-prune-${repository}`,
    kind: "prune" as const,
    every: "7 3 * * *",
    repository,
  }));
  return [
    {
      name: "continuous",
      kind: "ship",
      every: "* * * * *",
      repository: near,
      tiers: sooner,
    },
    { name: "hourly", kind: "backup", every: "7 * * * *", repository: near, tiers: sooner },
    { name: "hourly-compact", kind: "compact", every: "37 * * * *" },
    {
      name: "daily",
      kind: "backup",
      every: "17 1 * * *",
      repository: near,
      tiers: sooner,
      full: true,
    },
    { name: "daily-verify", kind: "verify", every: "27 2 * * *", repository: near },
    ...prunes,
    { name: "daily-reconcile", kind: "reconcile", every: "47 3 * * 1-6" },
    { name: "weekly-reconcile", kind: "reconcile", every: "47 3 * * 0", deep: true },
    { name: "weekly", kind: "backup", every: "57 4 * * 0", repository: far, full: true },
    { name: "monthly-drill", kind: "drill", every: "7 6 1 * *", repository: near },
  ];
}

const name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,39}$/,
    "is no name: write 1 to 40 of a-z, 0-9 and -, beginning with a letter or digit",
  );
const number = z.int("is no whole number").min(0, "is below 0").max(100_000, "is above 100,000");
const tier = z.enum(TIERS, `is no tier: write one of ${TIERS.join(", ")}`);
const duration = z
  .string()
  .regex(/^[1-9]\d{0,6}[smhdw]$/, "is no duration: write 90s, 15m, 1h, 7d or 2w");

const place = {
  url: z.string().min(1, "is empty: write a directory, file:///… or s3://…").exactOptional(),
  urlFile: z.string().min(1, "is empty: name a file that holds the URL").exactOptional(),
};

function hasOnePlace({ url, urlFile }: { url?: unknown; urlFile?: unknown }): boolean {
  return (url === undefined) !== (urlFile === undefined);
}
const ONE_PLACE = "needs either url or urlFile, a file that holds the URL";

const keep = z
  .strictObject({
    last: number.exactOptional(),
    hourly: number.exactOptional(),
    daily: number.exactOptional(),
    weekly: number.exactOptional(),
    monthly: number.exactOptional(),
    yearly: number.exactOptional(),
  })
  .refine(
    (rule) => Object.values(rule).some((count) => (count ?? 0) > 0),
    "keeps nothing: give last, hourly, daily, weekly, monthly or yearly a number above 0",
  );

const tierRule = z.strictObject({
  blobs: z
    .array(z.string().min(1, "is empty: write the beginning of blobs' keys, datasets/"))
    .exactOptional(),
  newestWithin: duration.exactOptional(),
});

const job = z.strictObject({
  name,
  kind: z.enum(JOB_KINDS, `is no kind of job: write one of ${JOB_KINDS.join(", ")}`),
  every: z.string().min(1, "is empty: write when, as cron text: 7 * * * * is seven past each hour"),
  repository: z.string().exactOptional(),
  full: z.boolean().exactOptional(),
  tiers: z.array(tier).min(1, "is empty: name a tier, or leave it out for all").exactOptional(),
  deep: z.boolean().exactOptional(),
  repair: z.boolean().exactOptional(),
});

const POLICY = z.strictObject({
  version: z.literal(1, "is not 1: this version of Custody reads policies of version 1"),
  timeZone: z.string().default("UTC"),
  repositories: z
    .record(
      name,
      z
        .strictObject({ ...place, keep: keep.default({ ...DEFAULT_KEEP }) })
        .refine(hasOnePlace, ONE_PLACE),
    )
    .refine((all) => Object.keys(all).length > 0, "is empty: name one repository and its url"),
  keyBackup: z.strictObject(place).refine(hasOnePlace, ONE_PLACE).exactOptional(),
  tiers: z.partialRecord(tier, tierRule).default({}),
  jobs: z.array(job).exactOptional(),
});

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : "it cannot be read";
    throw new CoreError("usage", `the policy is no JSON: ${why}`, { cause });
  }
}

function checkJobs(
  { jobs, repositories, timeZone }: BackupPolicy,
  checkEvery: (every: string, timeZone: string) => string | undefined,
): void {
  const seen = new Set<string>();
  for (const [index, one] of jobs.entries()) {
    const at = `jobs[${index}]`;
    if (seen.has(one.name))
      refuse(`${at}.name`, `is that of another job, ${one.name}: each needs its own`);
    seen.add(one.name);
    if (one.repository !== undefined && repositories[one.repository] === undefined)
      refuse(
        `${at}.repository`,
        `names no repository, ${one.repository}: there is ${Object.keys(repositories).join(", ")}`,
      );
    const wrong = checkEvery(one.every, timeZone);
    if (wrong !== undefined) refuse(`${at}.every`, wrong);
    const alien = MEMBERS_OF_KINDS.find(
      ([member, kinds]) => one[member] !== undefined && !kinds.includes(one.kind),
    );
    if (alien !== undefined)
      refuse(`${at}.${alien[0]}`, `means nothing to a job of kind ${one.kind}: leave it out`);
  }
}

const MEMBERS_OF_KINDS: readonly (readonly [keyof PolicyJob, readonly JobKind[]])[] = [
  ["repository", ["ship", "backup", "verify", "drill", "prune"]],
  ["full", ["backup"]],
  ["tiers", ["ship", "backup"]],
  ["deep", ["reconcile"]],
  ["repair", ["reconcile"]],
];

function ofIssue(issue: z.core.$ZodIssue | undefined): CoreError {
  const at = fieldOf(issue?.path ?? []);
  if (issue?.code === "unrecognized_keys")
    return wrong(at, `has no member ${issue.keys.join(", ")}: see docs/reference/backup.md`);
  const isMissing = issue?.code === "invalid_type" && issue.input === undefined;
  return wrong(at, isMissing ? "is missing" : (issue?.message ?? "is wrong"));
}

function refuse(at: string, what: string): never {
  throw wrong(at, what);
}

function wrong(at: string, what: string): CoreError {
  return new CoreError("usage", `the policy's ${at} ${what}`, { at });
}

function fieldOf(path: readonly PropertyKey[]): string {
  const text = path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`))
    .join("");
  return text === "" ? "text" : text.replace(/^\./, "");
}
