import { SYSTEM_TENANT, uuidV7 } from "@custody/contract/ids";
import { canonicalJson } from "@custody/contract/json";
import type { Scope } from "@custody/stores/scope";

import type { Custody } from "../custody.ts";
import { CoreError } from "../errors.ts";
import type { CommitPart } from "../journal/commit-request.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { VerifyReport } from "../reports.ts";
import type { Runtime } from "../runtime.ts";
import { drills } from "../system-types.ts";
import { verifyBundle } from "../verify/standalone.ts";
import { continues } from "./create-backup.ts";
import type { LiveJournal } from "./journal-contents.ts";
import { restoreBackup } from "./restore.ts";
import type { RestoreReport } from "./restore.ts";
import { restoredJournal } from "./restored-journal.ts";
import type { RestoreTarget } from "./restored-journal.ts";
import type { RestoreSource } from "./restore-source.ts";

/** A scratch place for a drill; disposing it removes all that was restored. */
export interface DrillPlace extends AsyncDisposable {
  readonly target: RestoreTarget;
  /** Opens what was restored, with stores of its own for every role; the target is not used after it. */
  readonly open: () => Promise<Custody>;
}

/** What a drill works with. */
export interface DrillParts {
  readonly source: RestoreSource;
  readonly makePlace: () => Promise<DrillPlace>;
  /** The installation that is alive: how far the backup is behind it. */
  readonly live?: LiveJournal;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  readonly signal?: AbortSignal;
  /** Commits into the installation that is alive, where the report is kept. */
  readonly commit: (scope: Scope, parts: readonly CommitPart[]) => Promise<unknown>;
}

/** What a drill showed. Durations are milliseconds, instants epoch milliseconds. */
export interface DrillReport {
  readonly backup: string;
  readonly repository: string;
  /** To when was restored. */
  readonly instant: number;
  readonly startedAt: number;
  /** From the beginning until every store answered. */
  readonly rtoMs: number;
  /** What a disaster at the drill's beginning would have cost: null where the live journal was not given. */
  readonly rpoMs: number | null;
  readonly tenants: number;
  readonly entries: number;
  readonly records: number;
  /** Records and files that could not be read, as the key backup lacks keys that nobody destroyed. */
  readonly keyless: number;
  /** Records that a projection held otherwise than the restored journal. */
  readonly differences: number;
  readonly verified: Pick<VerifyReport, "ok" | "fault">;
  readonly proofs: { readonly tried: number; readonly held: number };
  readonly ok: boolean;
}

/** A report and the custodian's signature over it. */
export interface SignedDrillReport {
  readonly report: DrillReport;
  readonly keyId: string;
  /** Ed25519 over `custody drill report v1`, a zero byte and the canonical JSON of the report; base64url. */
  readonly signature: string;
}

const PROOFS_PER_TENANT = 5;
const WORD = "custody drill report v1\0";

/**
 * Tries a restore: to a random instant, in a scratch place, down to every store and to proofs of a sample of
 * records. The report is signed and kept as a record of the installation that is alive.
 */
export async function drill(parts: DrillParts, scope: Scope): Promise<SignedDrillReport> {
  const { source, runtime, keys } = parts;
  const startedAt = runtime.clock();
  const instant = await randomInstant(source, runtime);
  const rpoMs = await behind(parts);
  await using place = await parts.makePlace();
  const restored = await restoreBackup(source, place.target, {
    to: { time: instant },
    ...(parts.signal === undefined ? {} : { signal: parts.signal }),
  });
  const samples = await sampleRecords(place.target, restored, runtime);
  await using custody = await place.open();
  const scopes = restored.tenants.map(({ tenant }) => ({ ...scope, tenant }));
  for (const one of scopes) await custody.catchUp(one);
  const rtoMs = runtime.clock() - startedAt;
  const checked = await check(custody, scopes, { samples, keys });
  const sum = (name: "entries" | "records" | "keyless"): number =>
    restored.tenants.reduce((total, one) => total + one[name], 0);
  const files = restored.files.unreadable.filter(({ isErased }) => !isErased);
  const keyless = sum("keyless") + files.length;
  const report: DrillReport = {
    backup: source.manifest.backupId,
    repository: source.manifest.repository,
    instant,
    startedAt,
    rtoMs,
    rpoMs,
    tenants: scopes.length,
    entries: sum("entries"),
    records: sum("records"),
    keyless,
    ...checked,
    ok:
      keyless === 0 &&
      checked.verified.ok &&
      checked.differences === 0 &&
      checked.proofs.tried === checked.proofs.held,
  };
  const signed = await sign(report, keys);
  await keep(parts, scope, signed);
  return signed;
}

/** An instant between the first and the last entry of all tenants. */
async function randomInstant(source: RestoreSource, runtime: Runtime): Promise<number> {
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const { tenant, head } of source.manifest.tenants) {
    for await (const { receivedAt } of source.entries(tenant, { after: 0, to: 1 }))
      first = Math.min(first, receivedAt);
    last = Math.max(last, head.receivedAt);
  }
  return Math.min(first, last) + draw(runtime, Math.max(0, last - first) + 1);
}

/**
 * How much younger the live journal's newest entry is than the newest one in the backup. A tenant that is
 * not in it, or whose history is another, has lost what came after the backup's newest entry of all.
 */
async function behind({ source, live }: DrillParts): Promise<number | null> {
  if (live === undefined) return null;
  const { tenants } = source.manifest;
  const newest = Math.max(0, ...tenants.map(({ head }) => head.receivedAt));
  let most = 0;
  for (const tenant of await live.journal.tenants()) {
    const head = await live.journal.head(reading(tenant));
    const own = tenants.find((one) => one.tenant === tenant);
    const isOfHistory = own !== undefined && (await continues(live.journal, reading(tenant), own));
    if (head === undefined || (isOfHistory && own.head.sequence === head.sequence)) continue;
    most = Math.max(most, head.lastReceivedAt - (isOfHistory ? own.head.receivedAt : newest));
  }
  return most;
}

interface Sample {
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
}

/** Some records of each tenant, from entries drawn at random. */
async function sampleRecords(
  target: RestoreTarget,
  { tenants }: RestoreReport,
  runtime: Runtime,
): Promise<readonly Sample[]> {
  const { reader } = restoredJournal(target);
  const samples: Sample[] = [];
  for (const { tenant, cut } of tenants) {
    const scope = reading(tenant);
    for (let count = 0; count < PROOFS_PER_TENANT && cut.sequence > 0; count += 1) {
      const entry = await reader.entry(scope, 1 + draw(runtime, cut.sequence));
      const { batch, type } = await reader.readRecords(scope, entry);
      const id = batch.ids[draw(runtime, batch.ids.length)];
      if (id === undefined) continue;
      const [position] = await target.journal.lookup(scope, type, [id]);
      const isDeclared = target.registry.get(type) !== undefined;
      if (position?.isDeleted === false && isDeclared) samples.push({ tenant, type, id });
    }
  }
  return samples;
}

async function check(
  custody: Custody,
  scopes: readonly Scope[],
  { samples, keys }: { readonly samples: readonly Sample[]; readonly keys: KeyService },
): Promise<Pick<DrillReport, "differences" | "verified" | "proofs">> {
  let differences = 0;
  for (const scope of scopes) {
    const { projections, notCompared } = await custody.reconcile(scope);
    const [left] = notCompared;
    if (left !== undefined)
      throw new CoreError("failed", `${left.role} ${left.name} is not compared: ${left.reason}`);
    for (const one of projections) differences += one.differences;
  }
  let held = 0;
  for (const { tenant, type, id } of samples) {
    const bundle = await custody.proof(reading(tenant), type, id);
    const { keyId } = await keys.signer(tenant);
    if (verifyBundle(JSON.parse(JSON.stringify(bundle)), { keyId }).ok) held += 1;
  }
  const { ok, fault } = await custody.verify(reading(SYSTEM_TENANT), { allTenants: true });
  const verified = { ok, ...(fault === undefined ? {} : { fault }) };
  return { differences, verified, proofs: { tried: samples.length, held } };
}

async function sign(report: DrillReport, keys: KeyService): Promise<SignedDrillReport> {
  const signer = await keys.signer(SYSTEM_TENANT);
  const bytes = await signer.sign(Buffer.from(`${WORD}${canonicalJson(report)}`));
  return { report, keyId: signer.keyId, signature: Buffer.from(bytes).toString("base64url") };
}

async function keep(
  { runtime, commit }: DrillParts,
  scope: Scope,
  { report, keyId, signature }: SignedDrillReport,
): Promise<void> {
  const fields = {
    id: uuidV7(runtime.clock(), runtime.random(10)),
    backup: report.backup,
    ok: report.ok,
    started_at: new Date(report.startedAt).toISOString(),
    rto_ms: report.rtoMs,
    rpo_ms: report.rpoMs,
    report: canonicalJson(report),
    key_id: keyId,
    signature,
  };
  const whole = { ...scope, tenant: SYSTEM_TENANT };
  await commit(whole, [{ type: drills.name, put: [{ fields }] }]);
}

/** A whole number from 0 to below `count`. */
function draw(runtime: Runtime, count: number): number {
  // 48 bits: instants and sequences are far below, so the remainder favours none by a measurable amount.
  return Buffer.from(runtime.random(6)).readUIntBE(0, 6) % Math.max(1, count);
}

function reading(tenant: string): Scope {
  return { tenant, actor: "service:restore", deadline: Number.POSITIVE_INFINITY };
}
