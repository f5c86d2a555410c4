import { CoreError } from "../errors.ts";
import type { Runtime } from "../runtime.ts";

/** How much may wait to be made durable, in one process. */
export interface AdmissionSettings {
  /** Commits under way or waiting. */
  readonly commitsMax: number;
  /** Bytes of the records in them; a commit that is larger by itself is taken when no other is there. */
  readonly bytesMax: number;
  /** Imports that read and stage at the same time; each holds up to 16 MiB of rows. */
  readonly importsAtOnce: number;
  /** Imports that wait for their turn. */
  readonly importsWaitingMax: number;
}

/**
 * Defaults of {@link AdmissionSettings}: a commit under way takes about four times its records' bytes
 * (what the caller gave, canonical text, sealed lines, the entry), so 32 MiB are some 130 MB of the 512.
 */
export const ADMISSION_SETTINGS: AdmissionSettings = {
  commitsMax: 1_024,
  bytesMax: 32 * 1024 * 1024,
  importsAtOnce: 2,
  importsWaitingMax: 64,
};

/** A commit's place among those under way. */
export interface Admitted {
  /**
   * Counts its records' bytes, once they are known.
   *
   * @throws CoreError `busy` when there is no room for them.
   */
  readonly weigh: (bytes: number) => void;
  /** Ends it, however it ended. */
  readonly leave: (outcome: "done" | "given up") => void;
}

const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 30_000;
// What is answered before anything has been measured.
const RETRY_UNKNOWN_MS = 1_000;
// Enough to even out the groups in which commits end.
const MEASURED_MAX = 256;

/**
 * Admission: keeps what waits to be made durable within bounds, by telling writers before they are passed.
 *
 * A commit that is not admitted has written nothing; its writer is told when to come again, by how fast
 * commits are ending now. Nothing that was admitted is ever dropped. Imports wait in line instead.
 */
export class Admission {
  readonly #settings: AdmissionSettings;
  readonly #clock: Runtime["clock"];
  /** Commits that ended, the latest last. */
  readonly #ended: { readonly at: number; readonly bytes: number }[] = [];
  readonly #line: (() => void)[] = [];
  #commits = 0;
  #bytes = 0;
  #imports = 0;

  constructor(settings: AdmissionSettings, clock: Runtime["clock"]) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /**
   * Takes a commit in.
   *
   * @param kind `own` for what Custody writes of itself (the audit log): counted, and never refused.
   * @throws CoreError `busy` saying when to come again.
   */
  enter(kind: "asked" | "own"): Admitted {
    if (kind === "asked" && this.#commits >= this.#settings.commitsMax) throw this.#busy();
    this.#commits += 1;
    let own = 0;
    let isIn = true;
    return {
      weigh: (bytes) => {
        const isAlone = this.#bytes === 0;
        const isOver = this.#bytes + bytes > this.#settings.bytesMax;
        if (kind === "asked" && isOver && !isAlone) throw this.#busy();
        own += bytes;
        this.#bytes += bytes;
      },
      leave: (outcome) => {
        if (!isIn) return;
        isIn = false;
        this.#commits -= 1;
        this.#bytes -= own;
        if (outcome === "done") this.#measure(own);
      },
    };
  }

  /**
   * Runs an import when its turn comes, in the order of asking.
   *
   * @param signal ends the waiting.
   * @throws CoreError `busy` when too many wait already.
   */
  async inLine<Result>(
    work: () => Promise<Result>,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#imports >= this.#settings.importsAtOnce) await this.#turn(signal);
    else this.#imports += 1;
    try {
      return await work();
    } finally {
      const next = this.#line.shift();
      // Handed on while still taken, so that nobody slips in between.
      if (next === undefined) this.#imports -= 1;
      else next();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    const { importsWaitingMax } = this.#settings;
    if (this.#line.length >= importsWaitingMax) {
      throw new CoreError(
        "busy",
        `${importsWaitingMax} imports wait for their turn, and no more can; import again later: nothing of this file was kept`,
        { retryAfterMs: RETRY_MAX_MS },
      );
    }
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = (): void => {
        this.#line.splice(this.#line.indexOf(begin), 1);
        reject(signal?.reason as Error);
      };
      this.#line.push(begin);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  #measure(bytes: number): void {
    this.#ended.push({ at: this.#clock(), bytes });
    if (this.#ended.length > MEASURED_MAX) this.#ended.shift();
  }

  #busy(): CoreError {
    const retryAfterMs = this.#retryAfterMs();
    return new CoreError(
      "busy",
      `${this.#commits} commits of ${this.#bytes} bytes are being made durable, which is all that may be; commit again in ${retryAfterMs} ms: nothing of this one was written`,
      { retryAfterMs },
    );
  }

  /**
   * How long a quarter of what waits will take, at the speed measured; a quarter, so that those who come
   * again find room for more than one of them.
   */
  #retryAfterMs(): number {
    const [first] = this.#ended;
    if (first === undefined) return RETRY_UNKNOWN_MS;
    // To the present, not to the last that ended: when nothing ends any more the speed falls.
    const tookMs = Math.max(1, this.#clock() - first.at);
    const bytes = this.#ended.reduce((sum, { bytes: one }) => sum + one, 0);
    const byCount = (this.#commits / 4 / this.#ended.length) * tookMs;
    const byBytes = bytes === 0 ? 0 : (this.#bytes / 4 / bytes) * tookMs;
    const ms = Math.ceil(Math.max(byCount, byBytes));
    return Math.min(RETRY_MAX_MS, Math.max(RETRY_MIN_MS, ms));
  }
}
