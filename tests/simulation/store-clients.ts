import { embeddedEngine } from "@custody/stores/catalogue";
import type { BlobStore } from "@custody/stores/blob/port";
import type { Cache } from "@custody/stores/cache/port";
import { StoreError } from "@custody/stores/errors";
import type { Collection } from "@custody/stores/projected-store";
import type { Delivery } from "@custody/stores/record-batch";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "@custody/core/stores";

import { openDiskBlobStore } from "./adapters/disk-blob-store.ts";
import type { MemoryJournal, MemoryTransaction } from "./adapters/memory-journal.ts";
import type { MemoryProjected } from "./adapters/memory-projected.ts";
import type { MemoryStream } from "./adapters/memory-stream.ts";
import type { SimulatedDisk } from "./adapters/simulated-disk.ts";
import type { StoreName } from "./faults.ts";
import type { Call, Caller, Network } from "./network.ts";
import type { Random } from "./random.ts";

/** The stores of a world as they are, before anything goes wrong between them and a process. */
export interface WorldStores {
  readonly disk: SimulatedDisk;
  /** Where backups lie. */
  readonly backupDisk: SimulatedDisk;
  readonly cache: Cache;
  readonly stream: MemoryStream;
  readonly projected: ReadonlyMap<ProjectedRole, MemoryProjected>;
}

export interface StoreClientsParts {
  readonly world: WorldStores;
  readonly journal: MemoryJournal;
  readonly network: Network;
  readonly caller: Caller;
  readonly random: Random;
  readonly clock: () => number;
}

// What a store without room refuses.
const WRITES = new Set(
  "apply repair prepare discard publish put append commit putState putIntent putQuarantine relocate".split(
    " ",
  ),
);

/** The stores as one process sees them: every call goes through the network. */
export function connectStores(parts: StoreClientsParts): Stores {
  const { world, network, caller } = parts;
  const journal = journalClient(parts);
  const blob = blobClient(parts, "blob");
  const cache = client(parts, "cache", world.cache);
  const stream = client(parts, "stream", world.stream);
  const clients = new Map<ProjectedRole, unknown>();
  for (const [role, store] of world.projected)
    clients.set(role, projectedClient(network, caller, store));
  return {
    engine: embeddedEngine,
    health: () => Promise.resolve(undefined),
    journal: () => Promise.resolve(journal),
    blob: () => Promise.resolve(blob),
    cache: () => Promise.resolve(cache),
    queue: () => Promise.reject(new StoreError("unsupported", "a simulation has no queue")),
    stream: () => Promise.resolve(stream),
    projected: <Role extends ProjectedRole>(role: Role) =>
      Promise.resolve(clients.get(role) as ProjectedStoresByRole[Role]),
    [Symbol.asyncDispose]: () => parts.journal[Symbol.asyncDispose](),
  };
}

type Method = (...args: readonly unknown[]) => Promise<unknown>;

/** Any object whose methods become calls through the network. */
function client<Store extends object>(
  { network, caller }: Pick<StoreClientsParts, "network" | "caller">,
  store: StoreName,
  target: Store,
  change: (call: Call<unknown>, name: string, args: readonly unknown[]) => Call<unknown> = (call) =>
    call,
): Store {
  return new Proxy(target, {
    get: (_, name) => {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      if (typeof name !== "string") return member.bind(target) as unknown;
      const method = member as Method;
      return (...args: readonly unknown[]) => {
        const call: Call<unknown> = {
          store,
          label: `${name} ${labelOf(args)}`,
          isWrite: WRITES.has(name),
          perform: () => Reflect.apply(method, target, args) as Promise<unknown>,
        };
        return network.call(caller, change(call, name, args));
      };
    },
  });
}

function labelOf(args: readonly unknown[]): string {
  const [scope, second] = args;
  const tenant =
    typeof scope === "object" && scope !== null && "tenant" in scope ? scope.tenant : "";
  if (typeof second === "string") return `${String(tenant)} ${second}`;
  if (typeof second === "object" && second !== null && "generation" in second) {
    const { name, generation } = second as Collection<unknown>;
    return `${String(tenant)} ${name}#${generation}`;
  }
  return String(tenant);
}

function projectedClient(
  network: Network,
  caller: Caller,
  store: MemoryProjected,
): MemoryProjected {
  return client({ network, caller }, store.role as StoreName, store, (call, name, args) => {
    if (name !== "apply") return call;
    const [scope, collection, delivery] = args as [Scope, Collection<unknown>, Delivery];
    const records = delivery.batches.reduce((sum, { ids }) => sum + ids.length, 0);
    const { timesOlder } = store;
    return {
      ...call,
      label: `${call.label} ${String(delivery.after)}-${delivery.checkpoint} ${records}`,
      isRepeatable: true,
      // What is kept per owner lies in several files: no call tells that the others went back.
      performLate: async () => {
        const isOwned = collection.name === "sim/notes";
        if (!isOwned || store.timesOlder === timesOlder) await call.perform();
      },
      performInPart: (share) =>
        store.applyInPart(scope, collection, delivery, Math.floor(share * records)),
    };
  });
}

/** A transaction lives as long as its connection: when that breaks, the store takes it back. */
function journalClient(parts: StoreClientsParts): JournalStore {
  return client(parts, "journal", parts.journal as JournalStore, (call, name) => {
    if (name !== "begin") return call;
    let transaction: MemoryTransaction | undefined;
    return {
      ...call,
      onBroken: () => transaction?.end(),
      perform: async () => {
        transaction = (await call.perform()) as MemoryTransaction;
        return transactionClient(parts, transaction);
      },
    };
  });
}

function transactionClient(
  parts: StoreClientsParts,
  transaction: MemoryTransaction,
): MemoryTransaction {
  return client(parts, "journal", transaction, (call) => {
    return { ...call, onBroken: () => transaction.end() };
  });
}

/** The place for backups as one process sees it. */
export function connectBackups(parts: Omit<StoreClientsParts, "journal">): BlobStore {
  return blobClient(parts, "backup");
}

function blobClient(
  { world, network, caller, random, clock }: Omit<StoreClientsParts, "journal">,
  store: "blob" | "backup",
): BlobStore {
  const disk = store === "blob" ? world.disk : world.backupDisk;
  return openDiskBlobStore({
    clock,
    writer: String(caller.number),
    call: (label, work, inPart) =>
      network.call(caller, {
        store,
        label,
        isWrite: label !== "read" && label !== "list" && label !== "usage" && label !== "unlink",
        perform: async () => work(disk),
        ...(inPart === undefined ? {} : { performInPart: (share: number) => inPart(disk, share) }),
        flip: (answer) => (Buffer.isBuffer(answer) ? flipped(answer, random) : answer) as never,
      }),
  });
}

function flipped(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(Math.max(1, copy.byteLength));
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  return copy;
}
