import { PROJECTED_ROLES } from "@custody/core/stores";

import { backupStep, pruneStep } from "./backups.ts";
import { ask, commitStep, headOf, importStep, note, scopeOf } from "./client.ts";
import type { ClientParts } from "./client.ts";
import { isQuietSince } from "./faults.ts";
import type { Step } from "./plan.ts";
import { Random } from "./random.ts";
import { ensure, Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** Runs the steps of every client, each client's one after another. */
export async function runClients(parts: ClientParts): Promise<void> {
  const clients = Map.groupBy(parts.plan.steps, ({ client }) => client);
  await Promise.all([...clients.values()].map((steps) => runClient(parts, steps)));
}

async function runClient(parts: ClientParts, steps: readonly Step[]): Promise<void> {
  const { world } = parts;
  for (const step of steps) {
    await world.scheduler.sleep(step.atMs - world.elapsedMs, `client ${step.client}`);
    world.scheduler.note(`step ${step.number} ${step.action} begins`);
    await runStep(parts, step);
  }
}

async function runStep(parts: ClientParts, step: Step): Promise<void> {
  const { world, plan } = parts;
  const random = new Random(plan.seed, `step ${step.number}`);
  const scope = scopeOf(step.tenant);
  const roles = PROJECTED_ROLES.filter(() => random.chance(0.3));
  switch (step.action) {
    case "commit":
      return commitStep(parts, step);
    case "burst":
      return burst(parts, step);
    case "import":
      return importStep(parts, step);
    case "get":
      return getStep(parts, step, random);
    case "find":
      return findStep(parts, step, random);
    case "catch-up":
      return operation(parts, step, (custody) => custody.catchUp(scope, roles));
    case "rebuild":
      return operation(parts, step, (custody) => custody.rebuild(scope, roles));
    case "reconcile":
      return operation(parts, step, (custody) => custody.reconcile(scope, { roles }));
    case "repair":
      return operation(parts, step, (custody) => custody.reconcile(scope, { roles, repair: true }));
    case "compact":
      return operation(parts, step, (custody) => custody.compact(scope));
    case "replay":
      return operation(parts, step, (custody) => custody.quarantine.replay(scope));
    case "status":
      return operation(parts, step, (custody) => custody.status(scope));
    case "verify":
      return verifyStep(parts, step);
    case "deploy":
      return world.deploy(2);
    case "drift":
      return drift(world, step, random);
    case "backup":
      return backupStep(parts, step, random);
    case "prune":
      return pruneStep(parts, step, random);
    case "lag":
      return lagStep(parts, step, random);
  }
}

const BURST = 5;

/** Several commits at once through one process, which then share transactions. */
async function burst(parts: ClientParts, step: Step): Promise<void> {
  const numbers = Array.from({ length: BURST }, (_, index) => step.number + 1_000 * (index + 1));
  await Promise.all(numbers.map((number) => commitStep(parts, { ...step, number })));
}

async function operation(
  { world }: ClientParts,
  step: Step,
  work: Parameters<typeof ask>[1],
): Promise<void> {
  const heard = await ask(await world.process(step.slot), work);
  note(world, step, heard);
}

async function getStep(parts: ClientParts, step: Step, random: Random): Promise<void> {
  const { world, model } = parts;
  const { type, id } = drawTarget(parts, step, random);
  const from = headOf(world, step.tenant);
  const heard = await ask(await world.process(step.slot), (custody) =>
    custody.get(scopeOf(step.tenant), type, id),
  );
  note(world, step, heard);
  if (heard.kind !== "answer") return;
  const { tenant, number } = step;
  const to = headOf(world, tenant);
  const found = heard.answer;
  const invariant = "read-is-of-some-instant";
  model.reads.push({ step: number, tenant, type, id, from, to, found, invariant });
}

/** Commits one asset and looks for it in the document store, asking to see the commit. */
async function findStep(parts: ClientParts, step: Step, random: Random): Promise<void> {
  const { world, model } = parts;
  const { tenant, number } = step;
  const acknowledged = model.attempts.findLast(
    (attempt) => attempt.tenant === tenant && attempt.receipts.length > 0,
  );
  const receipt = acknowledged?.receipts.at(-1);
  if (receipt === undefined || acknowledged?.parts.length === 0) return;
  const part = random.pick(acknowledged?.parts ?? []);
  const owned = part.type === "sim/notes";
  const id = part.put[0]?.id ?? part.delete[0] ?? "";
  const by = part.put[0]?.fields["by"];
  const owner = typeof by === "string" ? by : "p0";
  const deadline = random.chance(0.5) ? Number.POSITIVE_INFINITY : 20_000;
  const process = await world.process(step.slot);
  const scope = scopeOf(tenant, deadline + process.nowMs);
  const heard = await ask(process, (custody) =>
    custody.find(owned ? { ...scope, owner } : scope, part.type, {
      filter: { [idField(part.type)]: id },
      after: receipt,
    }),
  );
  note(world, step, heard);
  if (heard.kind !== "answer") return;
  const { records, checkpoint } = heard.answer;
  const from = receipt.head.size;
  ensure(
    checkpoint >= from,
    "read-sees-its-write",
    () => `step ${number} asked for ${from} and was answered at ${checkpoint}`,
  );
  // A note may be another person's by now, and a record may be one that the store does not take.
  const isPoisoned = model.asked(tenant, part.type).some((record) => {
    return record.id === id && String(record.fields["pad"]).includes("poison");
  });
  if (owned || isPoisoned || world.hasDrifted) return;
  const to = headOf(world, tenant);
  const invariant = "read-sees-its-write";
  const { type } = part;
  model.reads.push({ step: number, tenant, type, id, from, to, found: records[0], invariant });
}

function drawTarget(
  { model }: ClientParts,
  { tenant }: Step,
  random: Random,
): { readonly type: string; readonly id: string } {
  const type = random.pick(["sim/events", "sim/assets", "sim/users", "sim/interviews"]);
  const known = model.asked(tenant, type);
  return { type, id: known.length === 0 ? "nothing" : random.pick(known).id };
}

function idField(type: string): string {
  return type === "sim/assets" ? "name" : "id";
}

/** Verifies; only bits that were turned on the way may make it find anything. */
async function verifyStep({ world }: ClientParts, step: Step): Promise<void> {
  const process = await world.process(step.slot);
  const heard = await ask(process, (custody) => custody.verify(scopeOf(step.tenant)));
  note(world, step, heard);
  if (heard.kind !== "answer" || heard.answer.ok) return;
  const isFlipping = world.faults.some(({ kind }) => kind === "flipping");
  if (isFlipping) return;
  throw new Violation("journal-verifies", JSON.stringify(heard.answer.fault));
}

/** Somebody changes or loses a row behind the store's back. */
function drift(world: World, step: Step, random: Random): void {
  const role = random.pick(PROJECTED_ROLES);
  const store = world.projected.get(role);
  const files = [...(store?.files ?? [])].filter(([name]) => name.startsWith(step.tenant));
  const collections = files.flatMap(([, file]) => [...file.values()]);
  if (collections.length === 0) return;
  const { content } = random.pick(collections);
  const ids = [...content.records.keys()].sort();
  if (ids.length === 0) return;
  const id = random.pick(ids);
  const record = content.records.get(id);
  if (record?.text === undefined) return;
  world.scheduler.note(`drift of ${role} ${id}`);
  world.hasDrifted = true;
  if (random.chance(0.5)) content.records.delete(id);
  else content.records.set(id, { ...record, text: record.text.replace(/"op":\d+/, '"op":0') });
}

/** While one projected store is in trouble, the others come to the end of the journal. */
async function lagStep({ world, plan }: ClientParts, step: Step, random: Random): Promise<void> {
  const { tenant } = step;
  const from = world.elapsedMs;
  const head = headOf(world, tenant);
  await world.scheduler.sleep(90_000 + random.below(1_000), `client ${step.client}`);
  const span = [from - 60_000, world.elapsedMs] as const;
  const isCalm =
    plan.faults.every((fault) => "untilMs" in fault) &&
    plan.steps.every(({ action }) => action !== "deploy" && action !== "drift") &&
    (["journal", "blob", "cache"] as const).every((name) => isQuietSince(plan.faults, name, span));
  if (!isCalm) return;
  const journal = world.database.committed(tenant);
  for (const [name, value] of journal.state) {
    const [kind, roleName, ...rest] = name.split("/");
    const role = PROJECTED_ROLES.find((one) => one === roleName);
    if (kind !== "projection" || role === undefined) continue;
    if (!isQuietSince(plan.faults, role, span)) continue;
    const { active } = JSON.parse(value) as {
      readonly active: { readonly generation: number; readonly placements: object };
    };
    const types = Object.keys(active.placements);
    const last = journal.entries.findLast((entry) => {
      return entry.sequence <= head && types.includes(entry.type);
    });
    const file = world.projected.get(role)?.files.get(tenant);
    const checkpoint = file?.get(`${rest.join("/")}#${active.generation}`)?.checkpoint ?? 0;
    ensure(
      checkpoint >= (last?.sequence ?? 0),
      "lag-stays-alone",
      () => `${role} ${rest.join("/")} is at ${checkpoint}, not at ${last?.sequence}`,
    );
  }
}
