import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";

import type { ProjectedRole } from "@custody/core/stores";
import type { BlobStore } from "@custody/stores/blob/port";

import { Random } from "../random.ts";
import { openDiskBlobStore } from "./disk-blob-store.ts";
import { JournalDatabase, MemoryJournal } from "./memory-journal.ts";
import { MemoryProjected } from "./memory-projected.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import type { TenantJournal } from "./tenant-journal.ts";

const realTime = {
  clock: Date.now,
  sleep: (ms: number): Promise<void> =>
    new Promise((resolve) => {
      setTimeout(resolve, ms);
    }),
};

/**
 * Opens the journal in memory and writes it to a file at each change, so that the suites can end its
 * process: what they promise of kills is then promised of the same code that simulations run.
 */
export function openKeptJournal(path: string): MemoryJournal {
  const tenants = existsSync(path)
    ? (deserialize(readFileSync(path)) as Map<string, TenantJournal>)
    : new Map<string, TenantJournal>();
  const database = new JournalDatabase(realTime, tenants);
  database.onDurable = () => {
    writeFileSync(`${path}.new`, serialize(tenants));
    renameSync(`${path}.new`, path);
  };
  return new MemoryJournal(database);
}

const WRITES = ["prepare", "apply", "repair", "discard"] as const;

/** Opens a projected store in memory and notes each change in a file, from which it is built again. */
export async function openKeptProjected(
  role: ProjectedRole,
  home: string,
  hasOwners: boolean,
): Promise<MemoryProjected> {
  mkdirSync(home, { recursive: true });
  const path = join(home, `${role}.log`);
  const store = new MemoryProjected({ role, hasOwners: true });
  for (const { method, args } of readLog(path)) {
    const replayed = store[method] as (...given: readonly unknown[]) => Promise<unknown>;
    await Reflect.apply(replayed, store, args);
  }
  const writer = new MemoryProjected({ role, hasOwners });
  for (const [name, file] of store.files) writer.files.set(name, file);
  for (const method of WRITES) {
    const write = writer[method].bind(writer) as (...args: readonly unknown[]) => Promise<void>;
    Object.defineProperty(writer, method, {
      value: async (...args: readonly unknown[]) => {
        await write(...args);
        const bytes = serialize({ method, args: withoutSharedMemory(args) });
        const length = Buffer.alloc(4);
        length.writeUInt32BE(bytes.byteLength);
        appendFileSync(path, Buffer.concat([length, bytes]));
      },
    });
  }
  return writer;
}

/** Opens a blob store on a simulated disk, whose names are written to a file whenever one changes. */
export function openKeptBlob(path: string, bytesMax: number): BlobStore {
  const disk = new SimulatedDisk(new Random(1, "disk"));
  const kept = existsSync(path) ? (deserialize(readFileSync(path)) as [string, Uint8Array][]) : [];
  for (const [name, bytes] of kept) {
    disk.create(name);
    disk.append(name, bytes);
  }
  return openDiskBlobStore({
    clock: () => 0,
    writer: String(process.pid),
    bytesMax,
    call: async (label, work) => {
      const answer = work(disk);
      if (label !== "link" && label !== "unlink") return answer;
      const files = disk.list("").map((name) => [name, disk.read(name) ?? Buffer.alloc(0)]);
      writeFileSync(
        `${path}.new`,
        serialize(files.map(([name, bytes]) => [name, withoutSharedMemory(bytes)])),
      );
      renameSync(`${path}.new`, path);
      return answer;
    },
  });
}

interface LoggedCall {
  readonly method: (typeof WRITES)[number];
  readonly args: readonly unknown[];
}

function readLog(path: string): readonly LoggedCall[] {
  const calls: LoggedCall[] = [];
  const log = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  for (let at = 0; at + 4 <= log.byteLength;) {
    const end = at + 4 + log.readUInt32BE(at);
    // A process that was killed may have left half of its last call.
    if (end > log.byteLength) break;
    calls.push(deserialize(log.subarray(at + 4, end)) as LoggedCall);
    at = end;
  }
  return calls;
}

function withoutSharedMemory(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(withoutSharedMemory);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, withoutSharedMemory(member)]),
  );
}
