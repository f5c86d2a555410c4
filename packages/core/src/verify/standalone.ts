// Verifies a proof bundle of Custody. One file, for Node 18 and later, and nothing else is needed:
//
//   node verify.mjs bundle.json [--key-id <64 hex digits>] [--head trusted-head.json]
//
// It shares no code with the system that made the bundle, on purpose. The format is described in
// docs/reference/journal-format.md; numbers in brackets are sections of RFC 9162.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or what is wrong. */
  readonly detail: string;
}

/** What the verifier found; `fault` is the first thing wrong. */
export interface Verdict {
  readonly ok: boolean;
  readonly checks: readonly Check[];
  readonly fault?: string;
}

/** What the verifying person has from elsewhere than the bundle. */
export interface Trusted {
  /** SHA-256 of the custodian's public key (SPKI DER), lower-case hex. */
  readonly keyId?: string;
  /** A signed tree head kept from a receipt, a backup or another proof. */
  readonly head?: unknown;
  /** Proof that the smaller of the two heads is a beginning of the larger, when the bundle has none. */
  readonly consistency?: unknown;
}

type Members = { readonly [name: string]: unknown };

/** Verifies a bundle; the steps stop at the first fault. Throws nothing, whatever it is given. */
export function verifyBundle(bundle: unknown, trusted: Trusted = {}): Verdict {
  const checks: Check[] = [];
  for (const { name, look } of steps(bundle, trusted)) {
    try {
      checks.push({ name, ok: true, detail: look() });
    } catch (cause) {
      const fault = cause instanceof Error ? cause.message : String(cause);
      checks.push({ name, ok: false, detail: fault });
      return { ok: false, checks, fault: `${name}: ${fault}` };
    }
  }
  return { ok: true, checks };
}

type Step = { readonly name: string; readonly look: () => string };

function steps(given: unknown, trusted: Trusted): readonly Step[] {
  const bundle = isObject(given) ? given : {};
  const { keyId, head } = trusted;
  const all: Step[] = [
    { name: "format", look: () => checkFormat(bundle) },
    { name: "line", look: () => checkLine(bundle) },
    { name: "entry", look: () => checkEntry(bundle) },
    { name: "line in entry", look: () => checkLineInEntry(bundle) },
    { name: "entry in tree", look: () => checkEntryInTree(bundle) },
    { name: "tree head", look: () => checkHead(bundle) },
    { name: "signature", look: () => checkSignature(bundle) },
    { name: "timeline", look: () => checkTimeline(bundle) },
  ];
  if (keyId !== undefined) all.push({ name: "trusted key", look: () => checkKey(bundle, keyId) });
  if (head !== undefined)
    all.push({ name: "trusted head", look: () => checkTrustedHead(bundle, trusted) });
  return all;
}

function checkFormat(bundle: Members): string {
  if (text(bundle, "format") === "custody-proof/1") return "custody-proof/1";
  throw new Error("it is no proof, or one of a later format");
}

function checkLine(bundle: Members): string {
  const line = object(JSON.parse(base64(bundle, "line").toString("utf8")), "the line");
  return `record ${text(line, "id")}`;
}

function checkEntry(bundle: Members): string {
  const entry = readEntry(bundle);
  if (entry["format"] !== 1) throw new Error(`unknown entry format ${String(entry["format"])}`);
  if (whole(entry, "count") !== whole(bundle, "leafCount"))
    throw new Error("it has another number of lines than the bundle says");
  if (whole(entry, "sequence") !== whole(bundle, "entryIndex") + 1)
    throw new Error("it has another place in the journal than the bundle says");
  return `${text(entry, "type")}, ${text(entry, "operation")}, entry ${whole(entry, "sequence")} of ${text(entry, "tenant")}, by ${text(entry, "actor")}`;
}

/** The entry, which must be in canonical form (RFC 8785), so that no member can occur twice. */
function readEntry(bundle: Members): Members {
  const bytes = base64(bundle, "entry");
  const entry = object(JSON.parse(bytes.toString("utf8")), "the entry");
  if (!bytes.equals(Buffer.from(canonical(entry)))) throw new Error("it is not in canonical form");
  return entry;
}

function checkLineInEntry(bundle: Members): string {
  const root = rootOf(
    hashLeaf(base64(bundle, "line")),
    whole(bundle, "leafIndex"),
    whole(bundle, "leafCount"),
    hashes(bundle, "linePath"),
  );
  if (root.toString("hex") !== text(readEntry(bundle), "root"))
    throw new Error("the line is not among those that the entry commits to");
  return `line ${whole(bundle, "leafIndex") + 1} of ${whole(bundle, "leafCount")}`;
}

function checkEntryInTree(bundle: Members): string {
  const root = rootOf(
    hashLeaf(sha256(base64(bundle, "entry"))),
    whole(bundle, "entryIndex"),
    whole(bundle, "treeSize"),
    hashes(bundle, "entryPath"),
  );
  if (root.toString("hex") !== text(headOf(bundle), "root"))
    throw new Error("the entry is not in the tree that was signed");
  return `entry ${whole(bundle, "entryIndex") + 1} of ${whole(bundle, "treeSize")}`;
}

function checkHead(bundle: Members): string {
  const [head, entry] = [headOf(bundle), readEntry(bundle)];
  if (whole(head, "size") !== whole(bundle, "treeSize"))
    throw new Error("it is of another size than the bundle says");
  if (text(head, "tenant") !== text(entry, "tenant")) throw new Error("it is of another tenant");
  return `${text(head, "tenant")}, timeline ${text(head, "timeline")}, ${whole(head, "size")} entries, root ${text(head, "root")}`;
}

/** Only a restore begins another timeline: each that the bundle names must be an entry of the tree. */
function checkTimeline(bundle: Members): string {
  const [head, entry, restores] = [headOf(bundle), readEntry(bundle), readRestores(bundle)];
  const last = restores.at(-1);
  if (text(head, "timeline") !== text(last ?? entry, "timeline"))
    throw new Error("the head is of another timeline than the entry, and no restore began that");
  const own = timelineAt(restores, whole(entry, "sequence"));
  if (own !== undefined && own !== text(entry, "timeline"))
    throw new Error("the entry is of another timeline than the restore before it began");
  if (last === undefined) return text(head, "timeline");
  return `${text(head, "timeline")}, begun by the restore at entry ${whole(last, "sequence")}`;
}

/** The entries with which restores began timelines, oldest first; each is proven to be in the tree. */
function readRestores(bundle: Members): readonly Members[] {
  const list: unknown = bundle["restores"] ?? [];
  if (!Array.isArray(list)) throw new Error("restores is no list");
  let before = 0;
  return list.map((one: unknown) => {
    const given = object(one, "a restore");
    const [entry, bytes] = [readEntry(given), base64(given, "entry")];
    const sequence = whole(entry, "sequence");
    object(entry["oldHead"], "the old head of a restore");
    if (text(entry, "operation") !== "restore" || sequence <= before)
      throw new Error(`entry ${sequence} is no restore, or not the next one`);
    const path = hashes(given, "entryPath");
    const root = rootOf(hashLeaf(sha256(bytes)), sequence - 1, whole(bundle, "treeSize"), path);
    if (root.toString("hex") !== text(headOf(bundle), "root"))
      throw new Error(`the restore at entry ${sequence} is not in the tree that was signed`);
    before = sequence;
    return entry;
  });
}

/** The timeline that an entry is of by the restores; unknown before the first of them. */
function timelineAt(restores: readonly Members[], sequence: number): string | undefined {
  const begun = restores.findLast((restore) => whole(restore, "sequence") <= sequence);
  return begun === undefined ? undefined : text(begun, "timeline");
}

function checkSignature(bundle: Members): string {
  const der = base64(bundle, "publicKey");
  const keyId = sha256(der).toString("hex");
  if (keyId !== text(headOf(bundle), "keyId")) throw new Error("the head names another key");
  const key = createPublicKey({ key: der, format: "der", type: "spki" });
  if (key.asymmetricKeyType !== "ed25519") throw new Error("the key is not an Ed25519 key");
  const { signature: _, ...head } = headOf(bundle);
  const signature = Buffer.from(text(headOf(bundle), "signature"), "base64url");
  if (!verify(null, Buffer.from(canonical(head)), key, signature))
    throw new Error("the tree head was not signed with this key, or was changed since");
  return `Ed25519, key ${keyId}`;
}

function checkKey(bundle: Members, trusted: string): string {
  const keyId = text(headOf(bundle), "keyId");
  if (keyId !== trusted.toLowerCase()) throw new Error(`signed by ${keyId}, not by ${trusted}`);
  return "it is the key you trust";
}

function checkTrustedHead(bundle: Members, { head, consistency }: Trusted): string {
  const ours = headOf(bundle);
  const kept = object(head, "the trusted head");
  if (text(kept, "tenant") !== text(ours, "tenant")) throw new Error("it is of another tenant");
  requireNotLeft(bundle, kept);
  const [earlier, later] = whole(kept, "size") <= whole(ours, "size") ? [kept, ours] : [ours, kept];
  const [from, size] = [whole(earlier, "size"), whole(later, "size")];
  if (from === size) {
    if (text(earlier, "root") !== text(later, "root"))
      throw new Error(`two different journals of ${size} entries: history was rewritten`);
    return `the same ${size} entries`;
  }
  const given = object(
    consistency ?? bundle["consistency"],
    `a path from ${from} to ${size} entries`,
  );
  if (whole(given, "from") !== from) throw new Error(`a path from ${from} entries is needed`);
  checkConsistency(earlier, later, hashes(given, "path"));
  return `the journal of ${from} entries is a beginning of that of ${size}`;
}

/** A head of another timeline counts as far as a restore took that timeline over. */
function requireNotLeft(bundle: Members, kept: Members): void {
  const [timeline, size] = [text(kept, "timeline"), whole(kept, "size")];
  const restores = readRestores(bundle);
  const at = restores.findIndex((restore) => text(restore, "timeline") === timeline);
  const leaves = (restore: Members): boolean =>
    text(object(restore["oldHead"], "the old head"), "timeline") === timeline;
  const left = at < 0 ? restores.find(leaves) : restores[at + 1];
  const known = timelineAt(restores, size);
  const isFirst = known === undefined && restores.length > 0 && at < 0;
  const isLater = left === undefined && size > whole(headOf(bundle), "size");
  if (timeline === (known ?? text(headOf(bundle), "timeline")) || isFirst || isLater) return;
  const by = left === undefined ? "" : `; the restore at entry ${whole(left, "sequence")} left it`;
  throw new Error(`it is of another timeline: ${timeline} with ${size} entries${by}`);
}

/** The root to which a path leads (2.1.3.2). */
function rootOf(leaf: Buffer, index: number, size: number, path: readonly Buffer[]): Buffer {
  if (index >= size) throw new Error(`there is no leaf ${index} in a tree of ${size}`);
  return climb(leaf, index, size - 1, path).after;
}

/** That an earlier tree is a beginning of a later one (2.1.4.2). */
function checkConsistency(earlier: Members, later: Members, given: readonly Buffer[]): void {
  const from = whole(earlier, "size");
  if (from === 0) return;
  const fromRoot = Buffer.from(text(earlier, "root"), "hex");
  const isComplete = Number.isInteger(Math.log2(from));
  const [first, ...path] = isComplete ? [fromRoot, ...given] : given;
  if (first === undefined) throw new Error("the path is too short");
  let [position, last] = [from - 1, whole(later, "size") - 1];
  while (position % 2 === 1) [position, last] = [half(position), half(last)];
  const { before, after } = climb(first, position, last, path);
  if (!before.equals(fromRoot) || after.toString("hex") !== text(later, "root"))
    throw new Error("the later journal does not continue the earlier one: history was rewritten");
}

/** Climbs a path: `after` takes up every step, `before` only those to its left. */
function climb(start: Buffer, index: number, lastIndex: number, path: readonly Buffer[]) {
  let [position, last, before, after] = [index, lastIndex, start, start];
  for (const step of path) {
    if (last === 0) throw new Error("the path is too long");
    if (position % 2 === 1 || position === last) {
      [before, after] = [hashNode(step, before), hashNode(step, after)];
      while (position % 2 === 0 && position !== 0) [position, last] = [half(position), half(last)];
    } else {
      after = hashNode(after, step);
    }
    [position, last] = [half(position), half(last)];
  }
  if (last !== 0) throw new Error("the path is too short");
  return { before, after };
}

const headOf = (bundle: Members): Members => object(bundle["treeHead"], "the tree head");
const half = (value: number): number => Math.floor(value / 2);
const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash("sha256").update(Buffer.concat(parts)).digest();
const hashLeaf = (leaf: Uint8Array): Buffer => sha256(Buffer.of(0), leaf);
const hashNode = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.of(1), left, right);

/** Canonical JSON (RFC 8785) of objects and plain values; entries and heads hold no arrays. */
function canonical(value: unknown): string {
  if (!isObject(value)) return JSON.stringify(value);
  const member = (name: string): string => `${JSON.stringify(name)}:${canonical(value[name])}`;
  return `{${Object.keys(value).sort().map(member).join(",")}}`;
}

function object(value: unknown, what: string): Members {
  if (isObject(value)) return value;
  throw new Error(`${what} is missing or no JSON object`);
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(members: Members, name: string): string {
  const value = members[name];
  if (typeof value === "string") return value;
  throw new Error(`${name} is missing or no text`);
}

function whole(members: Members, name: string): number {
  const value = members[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${name} is missing or no count`);
}

function base64(members: Members, name: string): Buffer {
  const bytes = Buffer.from(text(members, name), "base64");
  if (bytes.toString("base64") === members[name]) return bytes;
  throw new Error(`${name} is not base64`);
}

function hashes(members: Members, name: string): readonly Buffer[] {
  const list: unknown = members[name];
  if (!Array.isArray(list)) throw new Error(`${name} is missing or no list`);
  return list.map((one: unknown) => {
    if (typeof one === "string" && /^[0-9a-f]{64}$/.test(one)) return Buffer.from(one, "hex");
    throw new Error(`${name} holds something else than hashes`);
  });
}

/** The command: prints each check; answers 0 when all hold, 1 when one does not, 2 for a wrong call. */
export function verifyCommand(args: readonly string[], print: (line: string) => void): number {
  const [file, ...options] = args;
  const names = options.filter((_, at) => at % 2 === 0);
  const isKnown = names.every((name) => name === "--key-id" || name === "--head");
  if (file === undefined || names.length * 2 !== options.length || !isKnown) {
    print("usage: node verify.mjs bundle.json [--key-id <hex>] [--head trusted-head.json]");
    return 2;
  }
  try {
    return report(verifyBundle(readJson(file), readTrusted(options)), names, print);
  } catch (cause) {
    print(cause instanceof Error ? cause.message : String(cause));
    return 2;
  }
}

function report(verdict: Verdict, names: readonly string[], print: (line: string) => void): number {
  for (const { name, ok, detail } of verdict.checks)
    print(`${ok ? "ok  " : "FAIL"} ${name}: ${detail}`);
  if (verdict.ok && !names.includes("--key-id"))
    print("note: compare the key above with one that you have from the custodian by another way");
  print(verdict.ok ? "The record is in the journal, unaltered." : "NOT PROVEN.");
  return verdict.ok ? 0 : 1;
}

/** The head's file holds a head, or an object with `treeHead` (a bundle) or `head` (a receipt). */
function readTrusted(options: readonly string[]): Trusted {
  const [keyAt, headAt] = [options.indexOf("--key-id"), options.indexOf("--head")];
  const keyId = keyAt < 0 ? undefined : options[keyAt + 1];
  const trusted = keyId === undefined ? {} : { keyId };
  const file = headAt < 0 ? undefined : options[headAt + 1];
  if (file === undefined) return trusted;
  const given = object(readJson(file), file);
  const head = given["treeHead"] ?? given["head"] ?? given;
  return { ...trusted, head, consistency: given["consistency"] };
}

const readJson = (file: string): unknown => JSON.parse(readFileSync(file, "utf8"));
