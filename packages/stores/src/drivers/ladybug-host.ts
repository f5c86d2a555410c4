import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

import { StoreError } from "../errors.ts";
import { CallableChild, ChildEndedError } from "./child-process.ts";
import type { LadybugRequest } from "./ladybug-protocol.ts";
import { RemoteLadybugFile } from "./ladybug-remote-file.ts";
import type { LadybugPlace } from "./ladybug-remote-file.ts";
import { mapLadybugError } from "./ladybug.ts";
import type { LadybugFile } from "./ladybug.ts";

/** What LadybugDB's process may use. */
export interface LadybugHostOptions {
  /** Resident page cache of each open file, in bytes. */
  readonly bufferPoolBytes: number;
  /** Address space reserved for a file and its largest size, in bytes; a power of two. */
  readonly sizeMax: number;
  /** How long to wait for a file that another process still holds; default 5 s. */
  readonly lockWaitMs?: number;
  /** The process is ended when it had nothing to do for so long; default 60 s. */
  readonly idleMs?: number;
}

// Rows of one answer, and the statements' parameters: a few thousand rows each way.
const HEAP_MIB = 128;
// A log of 16 MiB is replayed in about a second; what takes longer than this has stopped.
const OPEN_MS_MAX = 120_000;
const SETTLE_MS_MAX = 30_000;
// A fault met once may have come from elsewhere in the process; one met every time is the file's.
const CRASHES_MAX = 3;
// Files no longer used stay open in the process, as only its end closes them: about 6 MiB each, and
// what they hold in pages. They are let go of when they are so many, or the process is so large.
const UNUSED_MAX = 8;
const RESIDENT_BYTES_MAX = 192 * 2 ** 20;

interface Running {
  readonly child: CallableChild;
  /** Numbers of the files opened in it, by path; none where that was tried and failed. */
  readonly files: Map<string, number | undefined>;
}

/**
 * The process that the LadybugDB files of one store are open in, so that a crash of the library ends
 * nothing else: what was under way fails with `unavailable`, and the next call starts it again.
 *
 * Files are never closed in it: where one must be let go of, the process is ended and started again.
 */
export class LadybugHost implements AsyncDisposable {
  readonly #options: LadybugHostOptions;
  readonly #unused = new Set<string>();
  /** Crashes in a row while a file was being written, by path. */
  readonly #crashes = new Map<string, number>();
  /** Files that crash the process when opened: they are not tried again, for the sake of the others. */
  readonly #broken = new Map<string, StoreError>();
  #running: Running | undefined;
  #opening: Promise<unknown> = Promise.resolve();
  #ending: Promise<void> | undefined;
  #users = 0;
  #onUnused: (() => void) | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: LadybugHostOptions) {
    this.#options = options;
  }

  /** The running process's id, for measurements and for tests that end it. */
  get processId(): number | undefined {
    return this.#running?.child.isEnded === false ? this.#running.child.processId : undefined;
  }

  /** A file to work with; nothing is opened yet. One object per path is to be used at a time. */
  file(path: string): LadybugFile {
    return new RemoteLadybugFile(path, {
      use: (work) => this.#use(path, work),
      onWritten: () => this.#crashes.delete(path),
      onDiskFailure: () => this.#abandon(path),
      onCrash: (cause) => this.#countCrash(path, cause),
    });
  }

  /** Says that a file is not needed for now. */
  async release(path: string): Promise<void> {
    if (this.#running?.files.has(path) !== true) return;
    this.#unused.add(path);
    if (this.#unused.size > UNUSED_MAX || (await this.#isLarge())) await this.#end();
  }

  /** Makes sure that the process does not have the file open, so that it can be renamed or removed. */
  async letGo(path: string): Promise<void> {
    this.#crashes.delete(path);
    this.#broken.delete(path);
    if (this.#running?.files.has(path) === true) await this.#end();
  }

  /** Ends the process when all work is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #use<Result>(
    path: string,
    work: (place: LadybugPlace) => Promise<Result>,
  ): Promise<Result> {
    while (this.#ending !== undefined) await this.#ending;
    this.#users += 1;
    clearTimeout(this.#idle);
    try {
      return await work(await this.#opened(path));
    } finally {
      this.#users -= 1;
      if (this.#users === 0) {
        this.#onUnused?.();
        this.#endWhenIdle();
      }
    }
  }

  async #isLarge(): Promise<boolean> {
    const request: LadybugRequest = { resident: true };
    const answer = this.#running?.child.call(request, { timeMs: SETTLE_MS_MAX });
    return Number(await answer?.catch(() => 0)) > RESIDENT_BYTES_MAX;
  }

  /** Opens one file at a time, so that a crash is known to be about it. */
  async #opened(path: string): Promise<LadybugPlace> {
    const place = this.#place(path);
    if (place !== undefined) return place;
    const opened = this.#opening.then(() => this.#open(path));
    this.#opening = opened.catch(() => undefined);
    return await opened;
  }

  #place(path: string): LadybugPlace | undefined {
    this.#unused.delete(path);
    const { child, files } = this.#start();
    const file = files.get(path);
    return file === undefined ? undefined : { child, file };
  }

  async #open(path: string): Promise<LadybugPlace> {
    const broken = this.#broken.get(path);
    if (broken !== undefined) throw broken;
    for (let crashes = 0; ;) {
      const place = this.#place(path);
      if (place !== undefined) return place;
      const { child, files } = this.#start();
      try {
        files.set(path, undefined);
        const file = await this.#openIn(child, path);
        files.set(path, file);
        return { child, file };
      } catch (cause) {
        const failure = openFailure(path, cause);
        if (!(failure instanceof ChildEndedError) || !failure.isCrash) throw failure;
        crashes += 1;
        if (crashes < CRASHES_MAX) continue;
        const error = brokenFile(path, failure);
        this.#broken.set(path, error);
        throw error;
      }
    }
  }

  async #openIn(child: CallableChild, path: string): Promise<number> {
    const { bufferPoolBytes, sizeMax, lockWaitMs = 5_000 } = this.#options;
    await mkdir(dirname(path), { recursive: true });
    const request: LadybugRequest = { open: path, bufferPoolBytes, sizeMax, lockWaitMs };
    return Number(await child.call(request, { timeMs: OPEN_MS_MAX + lockWaitMs }));
  }

  #start(): Running {
    if (this.#running === undefined || this.#running.child.isEnded) {
      const program = { product: "LadybugDB", program: "ladybug-process", heapMib: HEAP_MIB };
      this.#running = { child: new CallableChild(program), files: new Map() };
      this.#unused.clear();
    }
    return this.#running;
  }

  /** Lets present work end, ends the process, and then lets new work begin. */
  #end(): Promise<void> {
    this.#ending ??= this.#endProcess().finally(() => {
      this.#ending = undefined;
    });
    return this.#ending;
  }

  async #endProcess(): Promise<void> {
    clearTimeout(this.#idle);
    if (this.#users > 0) {
      await new Promise<void>((resolve) => {
        this.#onUnused = resolve;
      });
      this.#onUnused = undefined;
    }
    clearTimeout(this.#idle);
    const child = this.#running?.child;
    this.#running = undefined;
    if (child === undefined || child.isEnded) return;
    const request: LadybugRequest = { settle: true };
    // What stays in the logs is replayed when they are opened next.
    await child.call(request, { timeMs: SETTLE_MS_MAX }).catch(() => undefined);
    await child.kill();
  }

  /**
   * Ends the process at once, with nothing more written. After a checkpoint that found the disk full,
   * LadybugDB went on to acknowledge what it did not find again when it was opened next (measured).
   */
  async #abandon(path: string): Promise<void> {
    // A file that could not even be opened has no such state, and others may be working.
    if (this.#running?.files.get(path) !== undefined) await this.#running.child.kill();
  }

  #endWhenIdle(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#end(), this.#options.idleMs ?? 60_000);
    this.#idle.unref();
  }

  /** A file whose writing crashes the process again and again is damaged, whatever it looks like. */
  #countCrash(path: string, cause: ChildEndedError): StoreError {
    const crashes = (this.#crashes.get(path) ?? 0) + 1;
    this.#crashes.set(path, crashes);
    return crashes >= CRASHES_MAX ? brokenFile(path, cause) : cause;
  }
}

/** What LadybugDB says of a file that is like none it wrote has no pattern: `unordered_map::at`. */
function openFailure(path: string, cause: unknown): unknown {
  const failure = mapLadybugError(`open ${path}`, cause);
  if (!(failure instanceof StoreError) || failure.code !== "refused") return failure;
  return new StoreError("corrupt", failure.message, { cause });
}

function brokenFile(path: string, cause: Error): StoreError {
  const reason = `${CRASHES_MAX} times in a row on ${path}, ${cause.message}`;
  return new StoreError("corrupt", reason, { cause });
}
