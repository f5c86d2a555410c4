import { CoreError } from "../errors.ts";
import { canonicalBytes, Members, parseCanonical } from "../journal/format/canonical-object.ts";
import { decodeEntry, entryHash } from "../journal/format/entry.ts";
import type { Entry } from "../journal/format/entry.ts";
import type { BackedUpReceipt } from "./backup-contents.ts";

/** Entries of a pack at most. */
const PACK_ENTRIES_MAX = 4_096;

/** Bytes at which a pack is closed. */
const PACK_BYTES = 8 * 1024 * 1024;

/** Bytes before compression that an entry takes at most, so that nobody is made to allocate more. */
const COLUMN_BYTES_MAX = 128 * 1024 * 1024;

/**
 * The format of packs. A reader knows all formats up to its own; a new column at the end of
 * {@link COLUMNS} needs a new number.
 */
const PACK_FORMAT = 1;

/** What is kept of each entry, in this order. */
const COLUMNS = ["entry", "lines", "treeHead", "receipt"] as const;

const ABSENT = 0xffffffff;

/** An entry as a pack holds it. */
export interface PackedEntry {
  /** The entry's own bytes. */
  readonly bytes: Uint8Array;
  /** Sealed lines, of an entry that had them inline when it was packed. */
  readonly lines?: Uint8Array;
  readonly treeHead?: Uint8Array;
  readonly receipt?: BackedUpReceipt;
}

/** An entry as it comes out of a pack. */
export interface UnpackedEntry extends PackedEntry {
  readonly entry: Entry;
  readonly hash: Uint8Array;
}

/** Collects entries until a pack of them is full. */
export class PackBuilder {
  readonly #tenant: string;
  readonly #from: number;
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;
  #count = 0;

  constructor(tenant: string, from: number) {
    this.#tenant = tenant;
    this.#from = from;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return isPackFull(this.#count, this.#bytes);
  }

  add({ bytes, lines, treeHead, receipt }: PackedEntry): void {
    const told = receipt === undefined ? undefined : encodeReceipt(receipt);
    for (const column of [bytes, lines, treeHead, told]) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(column?.byteLength ?? ABSENT);
      this.#parts.push(length, column ?? new Uint8Array(0));
      this.#bytes += 4 + (column?.byteLength ?? 0);
    }
    this.#count += 1;
  }

  /** The pack's bytes: a length, a header in canonical JSON, then each entry's columns with their lengths. */
  finish(): Uint8Array {
    const to = this.#from + this.#count - 1;
    const header = canonicalBytes({
      format: PACK_FORMAT,
      tenant: this.#tenant,
      from: this.#from,
      to,
    });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(header.byteLength);
    return Buffer.concat([length, header, ...this.#parts]);
  }
}

/** Whether a pack of so many entries and bytes takes no more. */
export function isPackFull(entries: number, bytes: number): boolean {
  return entries >= PACK_ENTRIES_MAX || bytes >= PACK_BYTES;
}

/**
 * Reads a pack; hashes are computed anew.
 *
 * @throws CoreError `damaged` when it is not the pack of these entries, `usage` for a newer format.
 */
export function* readPack(
  pack: Uint8Array,
  expected: { readonly tenant: string; readonly from: number; readonly to: number },
): Generator<UnpackedEntry> {
  const { tenant, from, to } = expected;
  const reader = new ColumnReader(pack, `the pack of entries ${from} to ${to} of ${tenant}`);
  checkHeader(reader.header(), expected);
  for (let sequence = from; sequence <= to; sequence += 1) {
    const [bytes, lines, treeHead, receipt] = COLUMNS.map(() => reader.column());
    if (bytes === undefined) throw reader.damaged(`entry ${sequence} has no bytes`);
    const entry = decodeEntry(bytes);
    if (entry.sequence !== sequence || entry.tenant !== tenant)
      throw reader.damaged(
        `entry ${sequence} is entry ${entry.sequence} of ${entry.tenant} by its bytes`,
      );
    yield {
      entry,
      hash: entryHash(bytes),
      bytes,
      ...(lines === undefined ? {} : { lines }),
      ...(treeHead === undefined ? {} : { treeHead }),
      ...(receipt === undefined ? {} : { receipt: decodeReceipt(receipt) }),
    };
  }
  reader.end();
}

function checkHeader(
  bytes: Uint8Array,
  expected: { readonly tenant: string; readonly from: number; readonly to: number },
): void {
  const members = new Members(parseCanonical(bytes, "a pack"), "a pack");
  const format = members.whole("format", 1);
  if (format > PACK_FORMAT)
    throw new CoreError(
      "usage",
      `a pack of format ${format}: this version reads formats up to ${PACK_FORMAT}`,
    );
  for (const name of ["tenant", "from", "to"] as const)
    if (members.get(name) !== expected[name])
      throw new CoreError("damaged", `a pack whose ${name} is not ${expected[name]}`);
}

class ColumnReader {
  readonly #view: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(pack: Uint8Array, what: string) {
    this.#view = Buffer.from(pack.buffer, pack.byteOffset, pack.byteLength);
    this.#what = what;
  }

  header(): Uint8Array {
    return this.column() ?? new Uint8Array(0);
  }

  column(): Uint8Array | undefined {
    if (this.#at + 4 > this.#view.byteLength) throw this.damaged("it is cut off");
    const length = this.#view.readUInt32LE(this.#at);
    this.#at += 4;
    if (length === ABSENT) return undefined;
    const end = this.#at + length;
    if (length > COLUMN_BYTES_MAX || end > this.#view.byteLength)
      throw this.damaged("it is cut off");
    const column = new Uint8Array(this.#view.subarray(this.#at, end));
    this.#at = end;
    return column;
  }

  end(): void {
    if (this.#at !== this.#view.byteLength) throw this.damaged("something follows its last entry");
  }

  damaged(reason: string): CoreError {
    return new CoreError("damaged", `${this.#what}: ${reason}`, { at: this.#what });
  }
}

function encodeReceipt({ kind, key, text }: BackedUpReceipt): Uint8Array {
  return canonicalBytes({ kind, key, text });
}

function decodeReceipt(bytes: Uint8Array): BackedUpReceipt {
  const members = new Members(parseCanonical(bytes, "a kept receipt"), "a kept receipt");
  const kind = members.get("kind");
  if (kind !== "import" && kind !== "idempotency")
    throw new CoreError("damaged", "a kept receipt is of an unknown kind");
  return { kind, key: members.text("key"), text: members.text("text") };
}
