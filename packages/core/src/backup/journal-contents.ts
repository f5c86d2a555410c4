import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore, StoredEntry } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { decodeEntry } from "../journal/format/entry.ts";
import { decodeTreeHead } from "../journal/format/tree-head.ts";
import type { BackedUpEntry, BackedUpReceipt } from "./backup-contents.ts";
import type { RestoreSource, SourceManifest } from "./restore-source.ts";

/** The stores of an installation that is alive. */
export interface LiveJournal {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
}

const ENTRIES_PER_STEP = 256;
const BLOBS_PER_STEP = 1_000;
const SEGMENTS = "segments/";

/**
 * Reads a journal that is alive as if it were a backup made now: what is committed later is not in it.
 *
 * A compaction may move lines while they are read: what is missed is `damaged` and may be read again.
 */
export async function journalContents(
  live: LiveJournal,
  named: Pick<SourceManifest, "backupId" | "repository">,
): Promise<RestoreSource> {
  const { journal, blob } = live;
  const tenants = [];
  for (const tenant of await journal.tenants()) tenants.push(await headOf(journal, tenant));
  const cuts = new Map(tenants.map(({ tenant, head }) => [tenant, head.sequence]));
  return {
    manifest: { ...named, tenants },
    async *entries(tenant, { after, to = cuts.get(tenant) ?? 0, type }) {
      const scope = reading(tenant);
      let last = after;
      for (;;) {
        const range = {
          after: last,
          limit: ENTRIES_PER_STEP,
          ...(type === undefined ? {} : { type }),
        };
        const entries = await journal.entries(scope, range);
        for (const entry of entries) {
          if (entry.sequence > to) return;
          yield await whole(journal, scope, entry);
          last = entry.sequence;
        }
        if (entries.length < ENTRIES_PER_STEP) return;
      }
    },
    async segment(tenant, segmentId) {
      const row = await journal.segment(reading(tenant), segmentId);
      return row && { row, bytes: () => bytesOf(blob, reading(tenant), row.blobKey) };
    },
    async *blobs(tenant) {
      let after: string | undefined;
      for (;;) {
        const options = { limit: BLOBS_PER_STEP, ...(after === undefined ? {} : { after }) };
        const page = await blob.list(reading(tenant), "", options);
        yield* page.filter(({ key }) => !key.startsWith(SEGMENTS));
        after = page.at(-1)?.key;
        if (page.length < BLOBS_PER_STEP) return;
      }
    },
    blobBytes: (tenant, { key }) => bytesOf(blob, reading(tenant), key),
    async *state(tenant) {
      for (const prefix of ["type/", "import/"])
        yield* await journal.listState(reading(tenant), prefix);
    },
  };
}

async function headOf(
  journal: JournalStore,
  tenant: string,
): Promise<SourceManifest["tenants"][number]> {
  const head = await journal.head(reading(tenant));
  const signed = head && (await journal.treeHead(reading(tenant), head.sequence));
  if (head === undefined || signed === undefined)
    throw new CoreError("damaged", `tenant ${tenant} has no signed tree head`);
  const { timeline, sequence, lastEntryHash, lastReceivedAt } = head;
  const hash = Buffer.from(lastEntryHash).toString("hex");
  return {
    tenant,
    head: { timeline, sequence, hash, receivedAt: lastReceivedAt },
    treeHead: decodeTreeHead(signed),
  };
}

/** An entry with what belongs to it in other tables. */
async function whole(
  journal: JournalStore,
  scope: Scope,
  entry: StoredEntry,
): Promise<BackedUpEntry> {
  const { sequence, location } = entry;
  const inlineLines =
    location.kind === "inline" ? await journal.inlineLines(scope, sequence) : undefined;
  const treeHead = await journal.treeHead(scope, sequence);
  const receipt = await receiptOf(journal, scope, entry);
  return {
    ...entry,
    ...(inlineLines === undefined ? {} : { inlineLines }),
    ...(treeHead === undefined ? {} : { treeHead }),
    ...(receipt === undefined ? {} : { receipt }),
  };
}

async function receiptOf(
  journal: JournalStore,
  scope: Scope,
  entry: StoredEntry,
): Promise<BackedUpReceipt | undefined> {
  const { idempotency: key } = decodeEntry(entry.bytes);
  if (key === null) return undefined;
  const next = await journal.entry(scope, entry.sequence + 1);
  if (next?.commit === entry.commit) return undefined;
  for (const kind of ["idempotency", "import"] as const) {
    const text = await journal.receipt(scope, kind, key);
    if (text !== undefined) return { kind, key, text };
  }
  return undefined;
}

async function* bytesOf(blob: BlobStore, scope: Scope, key: string): AsyncGenerator<Uint8Array> {
  const bytes = await blob.stream(scope, key);
  if (bytes === undefined)
    throw new CoreError("damaged", `the blob ${key} of ${scope.tenant} is gone`, { at: key });
  yield* bytes;
}

function reading(tenant: string): Scope {
  return { tenant, actor: "service:restore", deadline: Number.POSITIVE_INFINITY };
}
