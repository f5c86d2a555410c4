import { ImportError } from "@custody/contract/importer";
import { canonicalJson, parseJson } from "@custody/contract/json";
import type { Custody } from "@custody/core/custody";
import { CoreError } from "@custody/core/errors";
import { StoreError } from "@custody/stores/errors";
import type { Scope } from "@custody/stores/scope";

import { drawImport, drawParts } from "./draw-records.ts";
import type { DrawContext } from "./draw-records.ts";
import type { AskedPart, Attempt, Model } from "./model.ts";
import type { Plan, Step } from "./plan.ts";
import type { SimulatedProcess } from "./process.ts";
import { Random } from "./random.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** What clients share. */
export interface ClientParts {
  readonly world: World;
  readonly plan: Plan;
  readonly model: Model;
}

/** What a client hears: an answer, a refusal for good, or nothing it could rely on. */
export type Heard<Answer> =
  | { readonly kind: "answer"; readonly answer: Answer }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown"; readonly reason: string };

const TRIES_MAX = 3;

/** Asks a process for something; the process may end before it answers. */
export async function ask<Answer>(
  process: SimulatedProcess,
  work: (custody: Custody) => Promise<Answer>,
): Promise<Heard<Answer>> {
  const ended = process.ended.then(() => {
    return { kind: "unknown", reason: "the process ended" } as const;
  });
  const asked = process.custody().then(work);
  const heard = asked.then(
    (answer) => ({ kind: "answer", answer }) as const,
    (cause: unknown) => (process.isAlive ? classify(cause, process.mayMisread) : ended),
  );
  return Promise.race([heard, ended]);
}

/** @throws Violation when the error is none that callers are told about. */
function classify(cause: unknown, mayMisread: boolean): Heard<never> {
  const reason = cause instanceof Error ? `${cause.name} ${cause.message}` : String(cause);
  if (cause instanceof StoreError && cause.retryable) return { kind: "unknown", reason };
  if (cause instanceof StoreError || cause instanceof CoreError) {
    if (cause.code === "conflict" || cause.code === "invalid") return { kind: "refused", reason };
    // While types are being changed, a process that runs the old ones is told so.
    const passing = [
      "would-lose",
      "failed",
      "timeout",
      ...(mayMisread ? ["damaged", "no-key"] : []),
    ];
    if (passing.includes(cause.code)) return { kind: "unknown", reason: `${cause.code} ${reason}` };
  }
  if (cause instanceof ImportError) return { kind: "refused", reason };
  throw new Violation(
    "error-has-a-name",
    cause instanceof Error ? (cause.stack ?? reason) : reason,
  );
}

/** On whose behalf simulated clients ask. */
export function scopeOf(tenant: string, deadline: number = Number.POSITIVE_INFINITY): Scope {
  return { tenant, actor: "user:simulated", deadline };
}

/** Draws a commit and asks for it; again under the same key, where it has one and hears nothing. */
export async function commitStep(parts: ClientParts, step: Step): Promise<void> {
  const { world, plan } = parts;
  const random = new Random(plan.seed, `step ${step.number}`);
  const process = await world.process(step.slot);
  const asked = drawParts(contextOf(parts, step, { random, process }));
  const ifVersion = random.chance(0.15) ? drawVersions(parts, step, { random, asked }) : {};
  const key = random.chance(0.4) ? `key ${step.number}` : undefined;
  const attempt = beginAttempt(parts, step, { asked, ifVersion, kind: "commit" });
  const deadline = random.chance(0.2) ? process.nowMs + 3_000 : Number.POSITIVE_INFINITY;
  const scope = scopeOf(step.tenant, deadline);
  const options = {
    source: { tool: `op-${step.number}` },
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(Object.keys(ifVersion).length === 0 ? {} : { ifVersion }),
  };
  const commit = asked.map(({ type, put, delete: removed }) => {
    // Members in another order are other content: a record is stored as it is given.
    const records = put.map(({ fields }) => ({ fields: parseJson(canonicalJson(fields)) }));
    return { type, put: records, delete: removed };
  });
  for (let tries = 1; ; tries += 1) {
    const now = await world.process(step.slot);
    const heard = await ask(now, (custody) => custody.commit(scope, commit, options));
    note(world, step, heard);
    if (heard.kind === "answer") attempt.receipts.push(heard.answer);
    const isAgain = heard.kind === "unknown" && key !== undefined && tries < TRIES_MAX;
    if (!isAgain) return endAttempt(parts, attempt, { heard, tries });
    await world.scheduler.sleep(random.below(5_000), `client ${step.client}`);
  }
}

/** Draws a file and imports it; again when it hears nothing, as the same file is the same import. */
export async function importStep(parts: ClientParts, step: Step): Promise<void> {
  const { world, plan } = parts;
  const random = new Random(plan.seed, `step ${step.number}`);
  const process = await world.process(step.slot);
  const asked = drawImport(contextOf(parts, step, { random, process }));
  const isLenient = random.chance(0.3);
  const lines = asked.flatMap(({ type, put }) =>
    put.map(({ fields }) => `${type}\t${canonicalJson(fields)}`),
  );
  if (isLenient) lines.push("sim/events\tbad");
  const file = Buffer.from([`tool\top-${step.number}`, ...lines, ""].join("\n"));
  const attempt = beginAttempt(parts, step, {
    asked,
    ifVersion: {},
    kind: isLenient ? "lenient import" : "import",
  });
  const name = `file-${step.number}.lines`;
  for (let tries = 1; ; tries += 1) {
    const now = await world.process(step.slot);
    const heard = await ask(now, (custody) =>
      custody.import(scopeOf(step.tenant), () => bytesOf(file), { name, isLenient }),
    );
    note(world, step, heard);
    if (heard.kind === "answer") attempt.receipts.push(...heard.answer.receipts);
    const isAgain = heard.kind === "unknown" && tries < TRIES_MAX && random.chance(0.8);
    if (!isAgain) return endAttempt(parts, attempt, { heard, tries });
    await world.scheduler.sleep(random.below(5_000), `client ${step.client}`);
  }
}

/** Writes into the trace what a client heard. */
export function note(world: World, step: Step, heard: Heard<unknown>): void {
  const reason = heard.kind === "answer" ? "" : ` ${heard.reason.split("\n")[0]}`;
  world.scheduler.note(`step ${step.number} ${step.action} heard ${heard.kind}${reason}`);
}

function contextOf(
  { plan, model }: ClientParts,
  { tenant, number }: Step,
  { random, process }: { readonly random: Random; readonly process: SimulatedProcess },
): DrawContext {
  const { poisoned, types } = plan;
  const drawn = { random, model, tenant, op: number, edition: process.edition, poisoned };
  return types === undefined ? drawn : { ...drawn, types };
}

function beginAttempt(
  { world, model }: ClientParts,
  { number, tenant }: Step,
  {
    asked,
    ifVersion,
    kind,
  }: {
    readonly asked: readonly AskedPart[];
    readonly ifVersion: Attempt["ifVersion"];
    readonly kind: Attempt["kind"];
  },
): Attempt {
  const attempt: Attempt = {
    op: number,
    tenant,
    parts: asked,
    ifVersion,
    kind,
    headBefore: headOf(world, tenant),
    headAfter: Number.POSITIVE_INFINITY,
    outcome: "asked",
    receipts: [],
    reason: "",
  };
  model.attempts.push(attempt);
  return attempt;
}

function endAttempt(
  { world }: ClientParts,
  attempt: Attempt,
  { heard, tries }: { readonly heard: Heard<unknown>; readonly tries: number },
): void {
  attempt.headAfter = headOf(world, attempt.tenant);
  // What is refused the second time may have been done the first.
  const isRefused = heard.kind === "refused" && tries === 1;
  attempt.outcome = heard.kind === "answer" ? "acknowledged" : isRefused ? "refused" : "unknown";
  if (heard.kind !== "answer") attempt.reason = heard.reason;
}

/** The last sequence that is committed now. */
export function headOf({ database }: World, tenant: string): number {
  return database.committed(tenant).head?.sequence ?? 0;
}

function drawVersions(
  { model }: ClientParts,
  { tenant }: Step,
  { random, asked }: { readonly random: Random; readonly asked: readonly AskedPart[] },
): Attempt["ifVersion"] {
  const versions: Record<string, Record<string, number>> = {};
  for (const { type, put } of asked) {
    const own: Record<string, number> = {};
    for (const { id } of put) {
      if (random.chance(0.7)) own[id] = model.knownVersion(tenant, type, id);
    }
    if (Object.keys(own).length > 0) versions[type] = own;
  }
  return versions;
}

async function* bytesOf(file: Buffer): AsyncGenerator<Uint8Array> {
  const middle = file.byteLength >> 1;
  yield file.subarray(0, middle);
  yield file.subarray(middle);
}
