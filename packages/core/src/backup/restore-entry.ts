import { parseJson } from "@custody/contract/json";
import type { RecordType } from "@custody/contract/record-type";
import type { NewEntry, TableWrite } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { ERASED_CONTENT, recordHashes } from "../journal/content-hash.ts";
import { joinBytes } from "../journal/entry-records.ts";
import type { Entry } from "../journal/format/entry.ts";
import { decodeLine } from "../journal/format/line.ts";
import type { DecodedLine } from "../journal/format/line.ts";
import { lineAt, lineCount } from "../journal/format/lines.ts";
import type { Lines } from "../journal/format/lines.ts";
import { leafHashes, merkleRoot } from "../journal/format/merkle.ts";
import { upcasts } from "../journal/journal-reader.ts";
import { fieldOpener } from "../journal/seal-records.ts";
import { tableWrites } from "../journal/table-writes.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { BackedUpEntry } from "./backup-contents.ts";

/** What is needed to work out what an entry's lines mean for the tables beside the journal. */
export interface EntryReadingParts {
  readonly keys: KeyService;
  readonly registry: TypeRegistry;
}

/** An entry ready to be appended again, with what its lines lead to. */
export interface ReadEntry {
  readonly entry: NewEntry;
  readonly tables: readonly TableWrite[];
  /** Records whose person's key was destroyed. */
  readonly erased: number;
  /** Records whose person's key is not in the key backup, though nobody destroyed it. */
  readonly keyless: number;
}

/**
 * Works out from an entry's lines what the journal keeps beside it: its ids, their content hashes, and the
 * rows of a transactional type.
 *
 * @throws CoreError `damaged` when the lines are not those that the entry commits to.
 */
export async function readBackedUpEntry(
  parts: EntryReadingParts,
  scope: Scope,
  backedUp: BackedUpEntry,
  { decoded, lines }: { readonly decoded: Entry; readonly lines: Lines },
): Promise<ReadEntry> {
  const { sequence, hash, bytes, location, inlineLines } = backedUp;
  const { commit, type, operation, count, receivedAt, root } = decoded;
  const at = `entry ${sequence} of ${scope.tenant}`;
  const declared = parts.registry.get(type)?.declaration;
  // Read as an older version, it would be put into every store wrongly, and nobody be told.
  if (declared !== undefined && declared.version < decoded.typeVersion)
    throw new CoreError(
      "usage",
      `${at} is of ${type} version ${decoded.typeVersion}, and this Custody knows version ${declared.version}; ` +
        "repeat the restore with the version that made the backup, or a later one",
      { at },
    );
  if (lineCount(lines) !== count)
    throw new CoreError("damaged", `${at} has ${lineCount(lines)} lines, not ${count}`, { at });
  if (Buffer.from(merkleRoot(leafHashes(lines))).toString("hex") !== root)
    throw new CoreError("damaged", `${at}: its lines are not those that were hashed`, { at });
  const records = Array.from({ length: count }, (_, index) => decodeLine(lineAt(lines, index)));
  const texts = operation === "delete" ? undefined : await openTexts(parts, scope, type, records);
  const entry: NewEntry = {
    sequence,
    hash,
    bytes,
    commit,
    type,
    operation,
    count,
    receivedAt,
    location,
    ids: records.map(({ id }) => id),
    contentHashes: await hashesOf(parts, scope, versionOf(declared, decoded.typeVersion), {
      count,
      texts,
    }),
    ...(location.kind === "inline" && inlineLines !== undefined ? { lines: inlineLines } : {}),
  };
  const tables = tablesOf(parts.registry, decoded, records, texts);
  const keyless = texts?.filter(({ isKeyless }) => isKeyless).length ?? 0;
  const unreadable = texts?.filter(({ isErased }) => isErased).length ?? 0;
  return { entry, tables, erased: unreadable - keyless, keyless };
}

/** A record's opened fields; of an erased person's, those that were in the clear. */
export interface OpenedText {
  readonly text: Uint8Array;
  /** The person's key is gone. */
  readonly isErased: boolean;
  /** It is gone, and nobody destroyed it. */
  readonly isKeyless: boolean;
}

/** The opened fields of lines of one type, in their order. */
export async function openTexts(
  { keys }: EntryReadingParts,
  scope: Scope,
  type: string,
  lines: readonly DecodedLine[],
): Promise<readonly OpenedText[]> {
  const subjects = [...new Set(lines.flatMap(({ subject }) => subject ?? []))];
  const known = await keys.subjectKeys(scope.tenant, subjects);
  const gone = new Set(subjects.filter((_, index) => known[index] === undefined));
  const lost = new Set<string>();
  for (const subject of gone)
    if (!(await keys.isSubjectDestroyed(scope.tenant, subject))) lost.add(subject);
  const open = fieldOpener(keys);
  const opened: OpenedText[] = [];
  for (const line of lines) {
    const text = await open(scope, type, line);
    const isErased = line.sealed !== undefined && gone.has(line.subject ?? "");
    opened.push({ text, isErased, isKeyless: isErased && lost.has(line.subject ?? "") });
  }
  return opened;
}

async function hashesOf(
  { keys }: EntryReadingParts,
  scope: Scope,
  type: RecordType | undefined,
  { count, texts }: { readonly count: number; readonly texts: readonly OpenedText[] | undefined },
): Promise<Uint8Array> {
  // A deletion has no content.
  if (texts === undefined) return new Uint8Array(count * 16);
  const joined = joinBytes(texts.map(({ text }) => text));
  const hashes = recordHashes(type, await keys.hashKey(scope.tenant), joined);
  for (const [index, { isErased }] of texts.entries()) {
    if (isErased) hashes.set(ERASED_CONTENT, index * ERASED_CONTENT.byteLength);
  }
  return hashes;
}

/** The declaration of a type as it was when an entry was written. */
function versionOf(type: RecordType | undefined, version: number): RecordType | undefined {
  for (let at = type; at !== undefined; at = at.previous) if (at.version <= version) return at;
  return undefined;
}

function tablesOf(
  registry: TypeRegistry,
  { type: name, typeVersion, operation, sequence }: Entry,
  lines: readonly DecodedLine[],
  texts: readonly OpenedText[] | undefined,
): readonly TableWrite[] {
  const type = registry.get(name);
  if (type?.declaration.mode !== "transactional") return [];
  const climb = upcasts(type.declaration, typeVersion);
  const isRemoval = operation === "delete";
  const records = (texts ?? []).map(({ text }, index) => {
    const stored = parseJson(Buffer.from(text).toString("utf8")) as Record<string, unknown>;
    const fields = climb.reduce((before, upcast) => upcast(before), stored);
    return { id: lines[index]?.id ?? "", fields };
  });
  const deletes = isRemoval ? lines.map(({ id }) => id) : [];
  const writes = tableWrites([{ type, records, deletes }]) ?? [];
  return writes.map((write) => ({
    ...write,
    rows: write.rows.map((row) => ({ ...row, sequence })),
  }));
}
