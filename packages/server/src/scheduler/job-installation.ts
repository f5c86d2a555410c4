import type { Custody } from "@custody/core/custody";
import type { Runtime } from "@custody/core/runtime";
import { StoreError } from "@custody/stores/errors";

// Another command holds the data directory for seconds, an import for minutes; then the job is tried again.
const WAIT_MS = 60_000;
const PAUSE_MS = 500;

/**
 * JobInstallation: one open installation for all jobs that run at once, closed when none does.
 *
 * A data directory belongs to one process at a time, and people use the command line between jobs.
 */
export class JobInstallation {
  readonly #open: () => Promise<Custody>;
  readonly #runtime: Pick<Runtime, "clock" | "sleep">;
  #opened: Promise<Custody> | undefined;
  #closing: Promise<void> = Promise.resolve();
  #users = 0;

  constructor(open: () => Promise<Custody>, runtime: Pick<Runtime, "clock" | "sleep">) {
    this.#open = open;
    this.#runtime = runtime;
  }

  /**
   * Works with the open installation; waits for a while where another process has it.
   *
   * @throws StoreError `unavailable` when that one has it longer; whatever the work throws.
   */
  async use<Result>(
    work: (custody: Custody) => Promise<Result>,
    signal: AbortSignal,
  ): Promise<Result> {
    this.#users += 1;
    try {
      this.#opened ??= this.#openInTime(signal);
      const custody = await this.#opened;
      return await work(custody);
    } finally {
      this.#users -= 1;
      if (this.#users === 0) await this.#close();
    }
  }

  async #openInTime(signal: AbortSignal): Promise<Custody> {
    await this.#closing;
    const { clock, sleep } = this.#runtime;
    const until = clock() + WAIT_MS;
    for (;;) {
      try {
        return await this.#open();
      } catch (error) {
        const isTaken = error instanceof StoreError && error.code === "unavailable";
        if (!isTaken || signal.aborted || clock() >= until) throw error;
        await sleep(PAUSE_MS, signal);
      }
    }
  }

  #close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#closing = (async () => {
      const custody = await opened?.catch(() => undefined);
      await custody?.[Symbol.asyncDispose]();
    })();
    return this.#closing;
  }
}
