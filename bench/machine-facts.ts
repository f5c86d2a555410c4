import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { cpus, loadavg, platform, release, totalmem } from "node:os";
import { join } from "node:path";

/** What the figures depend on. */
export interface MachineFacts {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Milliseconds of one appended write and fdatasync, the middle one of several. */
  readonly syncMs: Readonly<Record<string, number>>;
  /** Load averages over 1, 5 and 15 minutes when the benchmark began: others' work disturbs figures. */
  readonly load: readonly number[];
}

/** Gathers facts; writes a scratch file in `directory` to time the disk. */
export function machineFacts(directory: string): MachineFacts {
  const [first] = cpus();
  return {
    cores: cpus().length,
    cpu: first?.model ?? "unknown",
    memoryBytes: totalmem(),
    system: `${platform()} ${release()}`,
    node: process.version,
    versions: {
      sqlite: process.versions["sqlite"] ?? "",
      duckdb: installedVersion("@duckdb/node-api"),
      ladybug: installedVersion("@ladybugdb/core"),
    },
    syncMs: {
      "4 KiB": syncMs(directory, 4 * 1024),
      "1 MiB": syncMs(directory, 1024 * 1024),
    },
    load: loadavg().map((value) => Math.round(value * 100) / 100),
  };
}

/** The load average of the last minute. */
export function loadNow(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

function installedVersion(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  const manifest = JSON.parse(readFileSync(path, "utf8")) as { readonly version: string };
  return manifest.version;
}

const SYNC_ROUNDS = 21;

function syncMs(directory: string, bytes: number): number {
  const file = openSync(join(directory, "sync.scratch"), "w");
  const block = Buffer.alloc(bytes, 0xa5);
  const times: number[] = [];
  for (let round = 0; round < SYNC_ROUNDS; round += 1) {
    const begun = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    times.push(performance.now() - begun);
  }
  closeSync(file);
  const middle = times.sort((left, right) => left - right)[SYNC_ROUNDS >> 1] ?? 0;
  return Math.round(middle * 1_000) / 1_000;
}
