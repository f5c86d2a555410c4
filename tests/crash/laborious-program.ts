// The program that crash tests kill: checks every promise, then commits, imports, projects, rebuilds,
// compacts and collects. What it has begun and what was acknowledged it writes down as it goes.
import { appendFileSync, existsSync, readFileSync, writeSync } from "node:fs";
import { createHash } from "node:crypto";

import type { Receipt } from "@custody/contract/receipt";
import type { Custody } from "@custody/core/custody";
import type { Stores } from "@custody/core/stores";

import { EVIDENCE, manyEvidence, scope } from "./evidence.ts";
import { garakFile } from "./garak-file.ts";
import { KillingStores } from "./killing-stores.ts";
import type { Death } from "./killing-stores.ts";
import { openInstallation } from "./open-installation.ts";
import type { Place } from "./open-installation.ts";

/** What the program is told, as JSON in its first argument. */
export interface Labour extends Place {
  /** The file in which the program writes down what it does. */
  readonly log: string;
  /** Which run this is; each adds actions of its own. */
  readonly round: number;
  readonly death?: Death;
}

/** A line of the log. */
interface Logged {
  readonly action: string;
  readonly records: number;
  /** Set once it was acknowledged. */
  readonly receipt?: Receipt;
}

interface Action {
  readonly name: string;
  readonly records: number;
  readonly run: (custody: Custody) => Promise<Receipt | undefined>;
}

const BULK = 300;
const IMPORTED = 400;
// So long after it was begun a file that nothing names is removed. Of two runs one begins within the lease
// of what was announced, so that an import resumes, and one after it, so that what was left is collected.
const FORGOTTEN_MS = 8 * 86_400_000;

async function labourAway({ round, death, log, ...place }: Labour): Promise<void> {
  const killing = new KillingStores(death);
  const { custody, stores } = await openInstallation(place, {
    aheadMs: Math.floor(round / 2) * FORGOTTEN_MS,
    watch: (opened) => killing.watch(opened),
  });
  writeSync(1, "opened\n");
  await checkPromises(custody, readLog(log));
  if (round % 2 === 0) await checkSegments(custody, stores);
  writeSync(1, "checked\n");
  for (let from = 0; from <= round; from += 1) {
    for (const action of actionsOf(from)) await doOnce(custody, action, log);
  }
  await checkPromises(custody, readLog(log));
  await custody[Symbol.asyncDispose]();
  writeSync(1, `${JSON.stringify(Object.fromEntries(killing.counts))}\n`);
}

/** What a round adds, in order. What has no records is done again by every round that comes to it. */
function actionsOf(round: number): readonly Action[] {
  const commit = (name: string, records: number): Action => ({
    name,
    records,
    run: (custody) => commitAgain(custody, name, records),
  });
  const maintain = (what: string, run: (custody: Custody) => Promise<unknown>): Action => ({
    name: `${what}-${round}`,
    records: 0,
    run: async (custody) => {
      await run(custody);
      return undefined;
    },
  });
  return [
    commit(`small-${round}-1`, 20),
    commit(`small-${round}-2`, 3),
    commit(`bulk-${round}`, BULK),
    { name: `import-${round}`, records: IMPORTED, run: (custody) => importFile(custody, round) },
    maintain("project", (custody) => custody.catchUp(scope)),
    maintain("rebuild", (custody) => custody.rebuild(scope, ["document", "relational", "graph"])),
    maintain("compact", (custody) => custody.compact(scope)),
    commit(`small-${round}-3`, 5),
    maintain("compact-again", (custody) => custody.compact(scope)),
  ];
}

/** Each action's records have ids and a session of their own. */
async function commitAgain(custody: Custody, name: string, records: number): Promise<Receipt> {
  const from = createHash("sha256").update(name).digest().readUInt32BE() % 9_000_000;
  const put = manyEvidence(from, records, 60).map(({ fields }) => ({
    fields: { ...fields, id: `${name}-${String(fields["id"])}`, session_id: name },
  }));
  return custody.commit(scope, [{ type: EVIDENCE, put }], { idempotencyKey: name });
}

async function importFile(custody: Custody, round: number): Promise<Receipt | undefined> {
  const file = garakFile(`round ${round}`, IMPORTED);
  const open = async function* (): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < file.byteLength; at += 65_536) yield file.subarray(at, at + 65_536);
    await Promise.resolve();
  };
  const labels = { session: `import-${round}` };
  const name = `run-${round}.report.jsonl`;
  const { receipts } = await custody.import(scope, open, { name, labels });
  return receipts[0];
}

async function doOnce(custody: Custody, action: Action, log: string): Promise<void> {
  const { name, records } = action;
  if (readLog(log).some((one) => one.action === name && one.receipt !== undefined)) return;
  appendFileSync(log, `${JSON.stringify({ action: name, records })}\n`);
  const receipt = await action.run(custody);
  if (receipt !== undefined) {
    appendFileSync(log, `${JSON.stringify({ action: name, records, receipt })}\n`);
  } else if (records === 0) {
    appendFileSync(log, `${JSON.stringify({ action: name, records, receipt: DONE })}\n`);
  }
}

function readLog(log: string): readonly Logged[] {
  if (!existsSync(log)) return [];
  const lines = readFileSync(log, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Logged);
}

/** Every promise, of all that was ever begun here. */
async function checkPromises(custody: Custody, log: readonly Logged[]): Promise<void> {
  const acknowledged = new Map<string, Receipt>();
  const begun = new Map<string, number>();
  for (const { action, records, receipt } of log) {
    begun.set(action, records);
    if (receipt !== undefined) acknowledged.set(action, receipt);
  }
  const verified = await custody.verify(scope);
  expectThat(verified.ok, "verify finds nothing wrong", verified);
  await custody.catchUp(scope);
  const reconciled = await custody.reconcile(scope);
  const drifted = reconciled.projections.filter(({ differences }) => differences > 0);
  expectThat(drifted.length === 0, "every store equals the journal", drifted);
  const quarantined = await custody.quarantine.list(scope);
  expectThat(quarantined.length === 0, "nothing is quarantined", quarantined);
  for (const [action, records] of begun) {
    if (records === 0) continue;
    const { count } = await custody.count(scope, EVIDENCE, { filter: { session_id: action } });
    const isWhole = count === records;
    const isAbsent = count === 0 && !acknowledged.has(action);
    expectThat(isWhole || isAbsent, `${action} is whole or absent`, { count, records });
  }
  await checkReceipts(custody, acknowledged, begun);
}

/** The same commit again is answered with its first receipt. */
async function checkReceipts(
  custody: Custody,
  acknowledged: ReadonlyMap<string, Receipt>,
  begun: ReadonlyMap<string, number>,
): Promise<void> {
  const commits = [...acknowledged].filter(([action]) => /^(?:small|bulk)/.test(action));
  for (const [action, first] of commits.slice(-3)) {
    const again = await commitAgain(custody, action, begun.get(action) ?? 0);
    const isSame =
      again.isReplay && JSON.stringify(again.entries) === JSON.stringify(first.entries);
    expectThat(isSame, `${action} is answered with its first receipt`, { first, again });
  }
}

/** No file of a segment is there that the catalogue does not know, and none is missing. */
async function checkSegments(custody: Custody, stores: Stores): Promise<void> {
  const blob = await stores.blob();
  const journal = await stores.journal();
  await custody.compact(scope);
  const files = (await blob.list(scope, "segments/", { limit: 10_000 })).map(({ key }) => key);
  const rows = await journal.segments(scope, undefined, 10_000);
  const known = rows.map(({ blobKey }) => blobKey);
  const orphans = files.filter((key) => !known.includes(key));
  const missing = known.filter((key) => !files.includes(key));
  expectThat(orphans.length === 0, "no segment is forgotten", orphans);
  expectThat(missing.length === 0, "no segment is missing", missing);
}

function expectThat(isTrue: boolean, promise: string, found: unknown): void {
  if (isTrue) return;
  writeSync(1, `broken: ${promise}: ${JSON.stringify(found).slice(0, 2_000)}\n`);
  process.exit(1);
}

const DONE = {} as Receipt;

await labourAway(JSON.parse(process.argv[2] ?? "{}") as Labour);
