import { hash } from "node:crypto";

import { checkTenant } from "@custody/contract/ids";

import { CoreError } from "../../errors.ts";
import { canonicalBytes, HASH_HEX, Members, parseCanonical } from "./canonical-object.ts";

/** The only entry format there is; a reader refuses any other by its number. */
const ENTRY_FORMAT = 1;

/** `previous` of a tenant's first entry. */
export const NO_PREVIOUS: string = "0".repeat(64);

/**
 * What an entry does to the records it names. Readers refuse an operation that they do not know.
 *
 * `restore` is the first entry of a timeline that a restore began, and puts the record of that restore.
 */
export const ENTRY_OPERATIONS = ["put", "delete", "correction", "restore"] as const;

/** See {@link ENTRY_OPERATIONS}. */
export type EntryOperation = (typeof ENTRY_OPERATIONS)[number];

/** Where the records of an entry came from. */
export interface EntrySource {
  readonly tool?: string;
  readonly toolVersion?: string;
  readonly importer?: string;
  /** The importer's mapping version. */
  readonly mappingVersion?: number;
  /** Keyed hash of the original file's SHA-256, hex: without the tenant's key it identifies no file. */
  readonly fileHash?: string;
}

/** The newest known head of the history that a restore left behind. */
export interface OldHead {
  readonly timeline: string;
  /** Entries in its tree; it may be more or less than the restore took over. */
  readonly size: number;
  /** Root of its tree, lower-case hex. */
  readonly root: string;
}

/** A link of a tenant's journal: what was committed, by whom, whence, and after what. */
export interface Entry {
  /** The history this entry belongs to; a restore begins another. */
  readonly timeline: string;
  readonly tenant: string;
  /** Place in the tenant's journal, counted from 1, without gaps. */
  readonly sequence: number;
  /** Shared by the entries of one commit. */
  readonly commit: string;
  /** `pack/name`. */
  readonly type: string;
  readonly typeVersion: number;
  readonly operation: EntryOperation;
  /** How many lines. */
  readonly count: number;
  /** RFC 9162 root over the lines, lower-case hex. */
  readonly root: string;
  /** Who committed: `user:ana`, `service:importer`. */
  readonly actor: string;
  readonly source: EntrySource;
  /** Keyed hash of the idempotency key, hex, or null where none was given. */
  readonly idempotency: string | null;
  /** Earliest and latest observed instant, epoch milliseconds; both null where no record has one. */
  readonly observedFrom: number | null;
  readonly observedTo: number | null;
  /** Epoch milliseconds, never less than the previous entry's. */
  readonly receivedAt: number;
  /** Hash of the entry before, or {@link NO_PREVIOUS}. */
  readonly previous: string;
  /** The commit that a correction replaces. */
  readonly supersedes?: string;
  /** Given exactly where the operation is `restore`. */
  readonly oldHead?: OldHead;
}

/**
 * The canonical bytes of an entry; its hash is over exactly these.
 *
 * @throws CoreError `damaged` when the entry is not one that {@link decodeEntry} would take back.
 */
export function encodeEntry(entry: Entry): Uint8Array {
  const bytes = canonicalBytes({ ...entry, format: ENTRY_FORMAT });
  decodeEntry(bytes);
  return bytes;
}

/** SHA-256 over an entry's canonical bytes. */
export function entryHash(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

/**
 * Reads an entry back.
 *
 * @throws CoreError `damaged` when the bytes are not the canonical form of an entry of a known format.
 */
export function decodeEntry(bytes: Uint8Array): Entry {
  const members = new Members(parseCanonical(bytes, "an entry"), "an entry");
  const format = members.get("format");
  if (format !== ENTRY_FORMAT)
    throw new CoreError(
      "damaged",
      `an entry of format ${String(format).slice(0, 20)}: this version reads format ${ENTRY_FORMAT} only`,
    );
  members.allow(ENTRY_MEMBERS);
  const supersedes = members.optionalText("supersedes");
  const entry: Entry = {
    timeline: members.text("timeline"),
    tenant: tenantOf(members.text("tenant")),
    sequence: members.whole("sequence", 1),
    commit: members.text("commit"),
    type: members.text("type"),
    typeVersion: members.whole("typeVersion", 1),
    operation: operationOf(members.text("operation")),
    count: members.whole("count", 0),
    root: members.text("root", HASH_HEX),
    actor: members.text("actor"),
    source: sourceOf(members.get("source")),
    idempotency: members.nullableText("idempotency", HASH_HEX),
    observedFrom: members.nullableWhole("observedFrom"),
    observedTo: members.nullableWhole("observedTo"),
    receivedAt: members.whole("receivedAt", 0),
    previous: members.text("previous", HASH_HEX),
    ...(supersedes === undefined ? {} : { supersedes }),
    ...(members.has("oldHead") ? { oldHead: oldHeadOf(members.get("oldHead")) } : {}),
  };
  checkTogether(entry);
  checkRestore(entry);
  return entry;
}

const ENTRY_MEMBERS = [
  "format",
  "timeline",
  "tenant",
  "sequence",
  "commit",
  "type",
  "typeVersion",
  "operation",
  "count",
  "root",
  "actor",
  "source",
  "idempotency",
  "observedFrom",
  "observedTo",
  "receivedAt",
  "previous",
  "supersedes",
  "oldHead",
] as const satisfies readonly (keyof Entry | "format")[];

const SOURCE_MEMBERS = ["tool", "toolVersion", "importer", "mappingVersion", "fileHash"] as const;

function tenantOf(text: string): string {
  try {
    return checkTenant(text);
  } catch (cause) {
    throw new CoreError("damaged", "an entry whose tenant is no tenant's name", { cause });
  }
}

function operationOf(text: string): EntryOperation {
  const operation = ENTRY_OPERATIONS.find((known) => known === text);
  if (operation !== undefined) return operation;
  throw new CoreError("damaged", `an entry with an unknown operation ${text.slice(0, 40)}`);
}

function sourceOf(value: unknown): EntrySource {
  const members = new Members(value, "an entry's source");
  members.allow(SOURCE_MEMBERS);
  const tool = members.optionalText("tool");
  const toolVersion = members.optionalText("toolVersion");
  const importer = members.optionalText("importer");
  const fileHash = members.optionalText("fileHash", HASH_HEX);
  return {
    ...(tool === undefined ? {} : { tool }),
    ...(toolVersion === undefined ? {} : { toolVersion }),
    ...(importer === undefined ? {} : { importer }),
    ...(members.has("mappingVersion")
      ? { mappingVersion: members.whole("mappingVersion", 0) }
      : {}),
    ...(fileHash === undefined ? {} : { fileHash }),
  };
}

function oldHeadOf(value: unknown): OldHead {
  const members = new Members(value, "an entry's old head");
  members.allow(["timeline", "size", "root"]);
  return {
    timeline: members.text("timeline"),
    size: members.whole("size", 0),
    root: members.text("root", HASH_HEX),
  };
}

function checkRestore({ operation, oldHead, timeline }: Entry): void {
  if ((operation === "restore") !== (oldHead !== undefined))
    throw new CoreError("damaged", "only the entry of a restore names an old head, and it must");
  if (oldHead?.timeline === timeline)
    throw new CoreError("damaged", "a restore begins a timeline of its own");
}

function checkTogether(entry: Entry): void {
  const { observedFrom, observedTo, sequence, previous } = entry;
  if ((observedFrom === null) !== (observedTo === null) || (observedFrom ?? 0) > (observedTo ?? 0))
    throw new CoreError("damaged", "an entry's observed range is not a range");
  if ((sequence === 1) !== (previous === NO_PREVIOUS))
    throw new CoreError("damaged", "only a journal's first entry has no previous one");
}
