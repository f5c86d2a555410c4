import { canonicalJson, parseJson } from "@custody/contract/json";
import { decodeEntry } from "@custody/core/journal/format/entry";
import { JournalReader } from "@custody/core/journal/journal-reader";
import { LineStore } from "@custody/core/journal/line-store";
import { fieldOpener } from "@custody/core/journal/seal-records";
import { TypeRegistry } from "@custody/core/records/type-registry";

import { openDiskBlobStore } from "./adapters/disk-blob-store.ts";
import { MemoryJournal } from "./adapters/memory-journal.ts";
import type { JournalDatabase } from "./adapters/memory-journal.ts";
import type { MemoryKeys } from "./adapters/memory-keys.ts";
import type { SimulatedDisk } from "./adapters/simulated-disk.ts";
import { cheapCodec } from "./cheap-codec.ts";
import { simulatedPack } from "./simulated-types.ts";
import { scopeOf } from "./client.ts";

/** A line of the journal, as anybody with the keys can read it. */
export interface HistoryRecord {
  readonly id: string;
  /** `undefined` for a deletion. */
  readonly fields: Readonly<Record<string, unknown>> | undefined;
  /** Canonical JSON of the fields. */
  readonly json: string;
  readonly observedAt: number;
}

/** Where a journal lies, and what opens it: a world, or what was restored of one. */
export interface HistoryPlace {
  readonly database: JournalDatabase;
  readonly disk: SimulatedDisk;
  readonly keys: MemoryKeys;
}

/** An entry of the journal, opened. */
export interface HistoryEntry {
  readonly sequence: number;
  readonly type: string;
  readonly operation: string;
  readonly commit: string;
  readonly hash: string;
  /** The step it came from, where it says so. */
  readonly op: number | undefined;
  readonly records: readonly HistoryRecord[];
}

/** A record as it stands after some entry. */
export interface LiveVersion extends HistoryRecord {
  readonly sequence: number;
}

/** The live records by type and id. */
export type LiveState = ReadonlyMap<string, ReadonlyMap<string, LiveVersion>>;

const NO_RANDOM = (): never => {
  throw new Error("reading draws nothing");
};

let firstEdition: TypeRegistry | undefined;

/** Reads a tenant's journal from the stores themselves, past the network and its faults. */
export async function readHistory(
  world: HistoryPlace,
  tenant: string,
): Promise<readonly HistoryEntry[]> {
  const journal = new MemoryJournal(world.database);
  const blob = openDiskBlobStore({
    clock: () => 0,
    writer: "history",
    call: async (_, work) => work(world.disk),
  });
  const registry = (firstEdition ??= new TypeRegistry([simulatedPack(1)]));
  const runtime = {
    clock: () => 0,
    random: NO_RANDOM,
    sleep: () => Promise.resolve(),
    codec: cheapCodec,
    user: "os:history",
  };
  const { keys } = world;
  const lines = new LineStore({ journal, blob, keys, runtime, isSealed: true });
  const opener = fieldOpener(keys);
  const reader = new JournalReader({ journal, lines, registry, opener, recentBytesMax: 0 });
  const scope = scopeOf(tenant);
  const history: HistoryEntry[] = [];
  for (const entry of world.database.committed(tenant).entries) {
    const { source } = decodeEntry(entry.bytes);
    const op = /^op-(\d+)$/.exec(source.tool ?? "")?.[1];
    const { batch } = await reader.readRecords(scope, entry);
    const records = batch.ids.map((id, index): HistoryRecord => {
      const text = Buffer.from(batch.text.subarray(batch.offsets[index], batch.offsets[index + 1]));
      const isRemoved = batch.removed[index] === 1;
      const fields = isRemoved ? undefined : (parseJson(text.toString("utf8")) as never);
      const json = isRemoved ? "" : canonicalJson(fields);
      return { id, fields, json, observedAt: batch.observedAt[index] ?? Number.NaN };
    });
    const { sequence, type, operation, commit } = entry;
    const hash = Buffer.from(entry.hash).toString("hex");
    const ofStep = op === undefined ? undefined : Number(op);
    history.push({ sequence, type, operation, commit, hash, op: ofStep, records });
  }
  return history;
}

/** What is live after each entry: `states[n]` after the entry of sequence n. */
export function liveStates(history: readonly HistoryEntry[]): readonly LiveState[] {
  let state: LiveState = new Map();
  const states = [state];
  for (const { sequence, type, records } of history) {
    const ofType = new Map(state.get(type));
    for (const record of records) {
      // A changed record stands behind those that were there: stores are told of it then.
      ofType.delete(record.id);
      if (record.fields !== undefined) ofType.set(record.id, { ...record, sequence });
    }
    state = new Map(state).set(type, ofType);
    states.push(state);
  }
  return states;
}
