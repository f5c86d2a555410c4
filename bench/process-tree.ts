import { readdirSync, readFileSync } from "node:fs";

/** What a process and its descendants took. */
export interface TreeUsage {
  /** Highest sum of resident memory; pages that processes share count in each. */
  readonly peakBytes: number;
  /** The same with shared pages counted once (PSS), looked at twenty times more rarely as it is costly. */
  readonly peakSharedOnceBytes: number;
  readonly cpuSeconds: number;
  /** Bytes the processes caused to be written; includes what was written over again. */
  readonly writtenBytes: number;
}

const SAMPLE_MS = 50;
const SAMPLES_A_SHARED_ONE = 20;
const CLOCK_TICKS_A_SECOND = 100;
const PAGE_BYTES = 4_096;

/** Samples a process tree from /proc until it is stopped. On systems without /proc all is zero. */
export class TreeSampler {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  readonly #seen = new Map<number, { cpuSeconds: number; writtenBytes: number }>();
  #peakBytes = 0;
  #peakSharedOnceBytes = 0;
  #samples = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sample();
  }

  /** What was taken up to now. */
  usage(): TreeUsage {
    this.#sample();
    let cpuSeconds = 0;
    let writtenBytes = 0;
    for (const process of this.#seen.values()) {
      cpuSeconds += process.cpuSeconds;
      writtenBytes += process.writtenBytes;
    }
    return {
      peakBytes: this.#peakBytes,
      peakSharedOnceBytes: this.#peakSharedOnceBytes,
      cpuSeconds,
      writtenBytes,
    };
  }

  #sample(): void {
    let bytes = 0;
    let sharedOnce = 0;
    const isSharedOnceLooked = this.#samples % SAMPLES_A_SHARED_ONE === 0;
    this.#samples += 1;
    for (const pid of descendants(this.#pid)) {
      if (isSharedOnceLooked) {
        sharedOnce += Number(readField(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+)/m) ?? 0) * 1_024;
      }
      bytes += Number(readField(`/proc/${pid}/statm`, /^\d+ (\d+)/) ?? 0) * PAGE_BYTES;
      const stat = readText(`/proc/${pid}/stat`);
      // The command's name stands in parentheses and may hold anything; fields follow the last one.
      const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (fields === undefined) continue;
      const ticks = Number(fields[11]) + Number(fields[12]);
      const written = Number(readField(`/proc/${pid}/io`, /^write_bytes: (\d+)/m) ?? 0);
      this.#seen.set(pid, {
        cpuSeconds: ticks / CLOCK_TICKS_A_SECOND,
        writtenBytes: Math.max(written, this.#seen.get(pid)?.writtenBytes ?? 0),
      });
    }
    this.#peakBytes = Math.max(this.#peakBytes, bytes);
    this.#peakSharedOnceBytes = Math.max(this.#peakSharedOnceBytes, sharedOnce);
  }
}

function descendants(pid: number): readonly number[] {
  const found = [pid];
  // The list grows while it is walked.
  for (const parent of found) found.push(...childrenOf(parent));
  return found;
}

function childrenOf(pid: number): readonly number[] {
  return list(`/proc/${pid}/task`)
    .flatMap((task) => (readText(`/proc/${pid}/task/${task}/children`) ?? "").split(" "))
    .filter((child) => child !== "")
    .map(Number);
}

function readField(path: string, pattern: RegExp): string | undefined {
  return pattern.exec(readText(path) ?? "")?.[1];
}

/** A process may end between two looks, and then there is nothing to read. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
