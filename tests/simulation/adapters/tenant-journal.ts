import { canonicalJson } from "@custody/contract/json";
import { StoreError } from "@custody/stores/errors";
import type {
  IdPosition,
  JournalAppend,
  JournalHead,
  LineLocation,
  NewEntry,
  QuarantineRow,
  Relocation,
  SegmentIntent,
  SegmentRow,
  StoredEntry,
  TableWrite,
} from "@custody/stores/relational/journal";

type Values = readonly (null | string | number | bigint)[];

interface TableRow {
  readonly sequence: number;
  readonly cells: Readonly<Record<string, Values[number]>>;
}

/** A transactional type's table. */
interface Table {
  columns: readonly string[];
  unique: readonly (readonly string[])[];
  readonly rows: Map<string, TableRow>;
}

/** Everything a journal store keeps of one tenant: plain data, so that it can be written to a file. */
export interface TenantJournal {
  head: JournalHead | undefined;
  readonly entries: StoredEntry[];
  /** By type and id, oldest version first. */
  readonly ids: Map<string, Map<string, readonly IdPosition[]>>;
  /** The ids of each entry's lines; for those who check, as the port does not tell them. */
  readonly entryIds: Map<number, readonly string[]>;
  readonly inline: Map<number, Uint8Array>;
  readonly nodes: Map<string, Uint8Array>;
  readonly treeHeads: { readonly size: number; readonly bytes: Uint8Array }[];
  readonly receipts: Map<string, string>;
  readonly segments: Map<string, SegmentRow>;
  readonly intents: Map<string, SegmentIntent>;
  readonly state: Map<string, string>;
  readonly quarantine: Map<string, QuarantineRow>;
  readonly tables: Map<string, Table>;
}

/** What stands for the end of a lease once the intent is taken. */
export const TAKEN = 0;

/** Whether a segment has an intent that nobody has taken. */
export function isHeld(intents: TenantJournal["intents"], segmentId: string): boolean {
  return (intents.get(segmentId)?.expiresAt ?? TAKEN) !== TAKEN;
}

/** A tenant nobody has written to. */
export function emptyTenant(): TenantJournal {
  return {
    head: undefined,
    entries: [],
    ids: new Map(),
    entryIds: new Map(),
    inline: new Map(),
    nodes: new Map(),
    treeHeads: [],
    receipts: new Map(),
    segments: new Map(),
    intents: new Map(),
    state: new Map(),
    quarantine: new Map(),
    tables: new Map(),
  };
}

/** What a transaction works on: what it changes is nobody else's until it takes the original's place. */
export function draftOf(tenant: TenantJournal): TenantJournal {
  return {
    head: tenant.head,
    entries: [...tenant.entries],
    ids: new Map([...tenant.ids].map(([type, ids]) => [type, new Map(ids)])),
    entryIds: new Map(tenant.entryIds),
    inline: new Map(tenant.inline),
    nodes: new Map(tenant.nodes),
    treeHeads: [...tenant.treeHeads],
    receipts: new Map(tenant.receipts),
    segments: new Map(tenant.segments),
    intents: new Map(tenant.intents),
    state: new Map(tenant.state),
    quarantine: new Map(tenant.quarantine),
    tables: new Map([...tenant.tables].map(([name, table]) => [name, draftTable(table)])),
  };
}

function draftTable({ columns, unique, rows }: Table): Table {
  return { columns, unique, rows: new Map(rows) };
}

/**
 * Writes one commit: first everything is checked, then everything is written.
 *
 * @throws StoreError `conflict`, `refused`; nothing is then changed.
 */
export function appendCommit(tenant: TenantJournal, commit: JournalAppend): void {
  checkHead(tenant, commit);
  for (const { ids, contentHashes } of commit.entries) {
    if (contentHashes.byteLength !== ids.length * 16)
      throw new StoreError("refused", "an entry has 16 bytes of hash for each id");
  }
  for (const segmentId of commit.intents) requireIntent(tenant, segmentId);
  const { receipt } = commit;
  const receiptName = receipt && receiptKey(receipt.kind, receipt.key);
  if (receiptName !== undefined && tenant.receipts.has(receiptName))
    throw new StoreError("conflict", "a receipt of that key exists");
  const tables = new Map<string, Table>();
  for (const write of commit.tables ?? [])
    tables.set(
      write.table,
      written(tables.get(write.table) ?? tenant.tables.get(write.table), write),
    );

  for (const segmentId of commit.intents) tenant.intents.delete(segmentId);
  for (const segment of commit.segments) tenant.segments.set(segment.segmentId, { ...segment });
  for (const entry of commit.entries) appendEntry(tenant, entry);
  for (const { level, index, hash } of commit.nodes)
    tenant.nodes.set(`${level}/${index}`, Uint8Array.from(hash));
  tenant.treeHeads.push({
    size: commit.head.sequence,
    bytes: Uint8Array.from(commit.treeHead),
  });
  if (receipt !== undefined && receiptName !== undefined)
    tenant.receipts.set(receiptName, receipt.receipt);
  for (const [name, table] of tables) tenant.tables.set(name, table);
  const { head } = commit;
  tenant.head = {
    ...head,
    lastEntryHash: Uint8Array.from(head.lastEntryHash),
    frontier: Uint8Array.from(head.frontier),
  };
}

/** What a receipt is kept under. */
export function receiptKey(kind: string, key: string): string {
  return `${kind}\0${key}`;
}

function checkHead({ head }: TenantJournal, commit: JournalAppend): void {
  const last = head?.sequence ?? 0;
  const isNext = commit.entries.every(({ sequence }, index) => sequence === last + index + 1);
  if (isNext && commit.head.sequence === last + commit.entries.length) return;
  throw new StoreError("conflict", `the journal's head is at ${last}; entries must follow it`);
}

function requireIntent({ intents }: TenantJournal, segmentId: string): void {
  if (!isHeld(intents, segmentId))
    throw new StoreError("conflict", `the intent to write segment ${segmentId} is gone`);
}

function appendEntry(tenant: TenantJournal, entry: NewEntry): void {
  const { lines, ids, contentHashes, ...stored } = entry;
  tenant.entries.push({
    ...stored,
    hash: Uint8Array.from(stored.hash),
    bytes: Uint8Array.from(stored.bytes),
  });
  if (lines !== undefined) tenant.inline.set(entry.sequence, Uint8Array.from(lines));
  tenant.entryIds.set(entry.sequence, ids);
  if (ids.length === 0) return;
  const positions = tenant.ids.get(entry.type) ?? new Map<string, readonly IdPosition[]>();
  tenant.ids.set(entry.type, positions);
  for (const [ordinal, id] of ids.entries()) {
    const position: IdPosition = {
      sequence: entry.sequence,
      ordinal,
      contentHash: Uint8Array.from(contentHashes.subarray(ordinal * 16, ordinal * 16 + 16)),
      isDeleted: entry.operation === "delete",
    };
    positions.set(id, [...(positions.get(id) ?? []), position]);
  }
}

function written(known: Table | undefined, write: TableWrite): Table {
  const columns = write.columns.map(({ name }) => name);
  const table: Table = { columns, unique: write.unique, rows: new Map(known?.rows) };
  for (const { id } of write.rows) table.rows.delete(id);
  for (const { id, sequence, values } of write.rows) {
    if (values === undefined) continue;
    const cells = Object.fromEntries(columns.map((name, index) => [name, values[index] ?? null]));
    table.rows.set(id, { sequence, cells });
  }
  for (const names of write.unique) checkUnique(write.table, table, names);
  return table;
}

function checkUnique(name: string, { rows }: Table, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const { cells } of rows.values()) {
    const values = names.map((column) => cells[column] ?? null);
    if (values.includes(null)) continue;
    const key = canonicalJson(values);
    if (seen.has(key))
      throw new StoreError("conflict", `${name}: another row has the same ${names.join(", ")}`);
    seen.add(key);
  }
}

/** Rows of a table by id, as canonical JSON. */
export function tableRows(
  { tables }: TenantJournal,
  name: string,
  { after = "", limit }: { readonly after?: string; readonly limit: number },
): { readonly id: string; readonly sequence: number; readonly columns: string }[] {
  const table = tables.get(name);
  if (table === undefined) return [];
  return [...table.rows]
    .filter(([id]) => id > after)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .slice(0, limit)
    .map(([id, { sequence, cells }]) => {
      const now = Object.fromEntries(
        table.columns.map((column) => [column, cells[column] ?? null]),
      );
      return { id, sequence, columns: canonicalJson(now) };
    });
}

/** Moves lines into a new segment. @throws StoreError `conflict`; nothing is then changed. */
export function relocate(tenant: TenantJournal, change: Relocation): void {
  const { segment, entries, dropped } = change;
  requireIntent(tenant, segment.segmentId);
  for (const { sequence, from } of entries) {
    const at = tenant.entries[sequence - 1]?.location;
    if (at === undefined || locationText(at) !== locationText(from))
      throw new StoreError("conflict", `entry ${sequence} no longer lies where it did`);
  }
  tenant.intents.delete(segment.segmentId);
  tenant.segments.set(segment.segmentId, { ...segment });
  for (const { sequence, firstLine } of entries) {
    const entry = tenant.entries[sequence - 1];
    if (entry === undefined) continue;
    const location: LineLocation = { kind: "segment", segmentId: segment.segmentId, firstLine };
    tenant.entries[sequence - 1] = { ...entry, location };
    tenant.inline.delete(sequence);
  }
  for (const segmentId of dropped) {
    const row = tenant.segments.get(segmentId);
    if (row !== undefined)
      tenant.intents.set(segmentId, { segmentId, blobKey: row.blobKey, expiresAt: TAKEN });
    tenant.segments.delete(segmentId);
  }
}

function locationText(at: LineLocation): string {
  return at.kind === "inline" ? "" : `${at.segmentId}:${at.firstLine}`;
}
