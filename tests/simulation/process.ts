import { createCustody, CUSTODY_SETTINGS } from "@custody/core/create-custody";
import type { Custody } from "@custody/core/custody";
import type { Runtime } from "@custody/core/runtime";
import type { BlobStore } from "@custody/stores/blob/port";

import { MemoryJournal } from "./adapters/memory-journal.ts";
import { cheapCodec } from "./cheap-codec.ts";
import { MemoryKeys } from "./adapters/memory-keys.ts";
import type { Caller } from "./network.ts";
import { Random } from "./random.ts";
import { simulatedPack, simulatedReading } from "./simulated-types.ts";
import type { Edition } from "./simulated-types.ts";
import { connectBackups, connectStores } from "./store-clients.ts";
import type { World } from "./world.ts";

// A request that a dead process had sent may still arrive; its connection is noticed to be gone later.
const CONNECTION_LOST_MS_MAX = 3_000;

/** One run of a process: it ends with a crash or an orderly stop, and another takes its place. */
export class SimulatedProcess implements Caller {
  readonly number: number;
  readonly slot: number;
  readonly edition: Edition;
  readonly #world: World;
  readonly #journal: MemoryJournal;
  readonly #random: Random;
  readonly #ended = Promise.withResolvers<void>();
  #calls = 0;
  #clockOffsetMs = 0;
  #isAlive = true;
  #custody: Promise<Custody> | undefined;
  #backups: BlobStore | undefined;

  constructor(
    world: World,
    at: { readonly number: number; readonly slot: number },
    edition: Edition,
  ) {
    this.#world = world;
    this.number = at.number;
    this.slot = at.slot;
    this.edition = edition;
    this.#journal = new MemoryJournal(world.database);
    this.#random = new Random(world.seed, `process ${at.slot} ${at.number}`);
  }

  /** Whether bits of what it reads may be turned. */
  get mayMisread(): boolean {
    return this.#world.faults.some(({ kind }) => kind === "flipping");
  }

  /** What its clock says. */
  get nowMs(): number {
    return Math.floor(this.#world.scheduler.nowMs) + this.#clockOffsetMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** Resolves when it has ended, however that came. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** The place for backups. */
  get backups(): BlobStore {
    const { network } = this.#world;
    const clock = (): number => this.nowMs;
    const at = { caller: this, random: this.#random, clock };
    this.#backups ??= connectBackups({ world: this.#world, network, ...at });
    return this.#backups;
  }

  /** What runs in it; opened when first asked for. */
  custody(): Promise<Custody> {
    if (this.#custody === undefined) {
      const opening = this.#open();
      this.#custody = opening;
      // Whoever asks next tries again.
      opening.catch(() => (this.#custody = undefined));
    }
    return this.#custody;
  }

  nextCall(): number {
    this.#calls += 1;
    return this.#calls;
  }

  endsAt(phase: "before" | "after", call: number): boolean {
    const fault = this.#world.crashAt(this.slot, this.number, call, phase);
    if (fault !== undefined) this.crash(fault.downMs);
    return !this.#isAlive;
  }

  /** Puts its clock forward or back. */
  jump(byMs: number): void {
    this.#clockOffsetMs += byMs;
  }

  /**
   * It is gone at once: nothing that it waits for ever comes.
   *
   * @param mayLinger whether what it has sent may still arrive.
   */
  crash(downMs: number, mayLinger = true): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    const { scheduler } = this.#world;
    scheduler.note(`crash of process ${this.number}`);
    scheduler.drop(this.number, (label) => {
      return mayLinger && label.startsWith("> ") && this.#random.chance(0.5);
    });
    const patience = this.#random.below(CONNECTION_LOST_MS_MAX);
    scheduler.after(patience, "connection lost", () => this.#journal.loseConnection());
    this.#ended.resolve();
    this.#world.restart(this, downMs);
  }

  /** Ends in an orderly way. */
  async stop(): Promise<void> {
    const custody = await this.#custody?.catch(() => undefined);
    await custody?.[Symbol.asyncDispose]();
    this.leave();
  }

  /** Makes room for the next run, after an orderly end. */
  leave(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#world.scheduler.drop(this.number, () => false);
    this.#journal.loseConnection();
    this.#ended.resolve();
  }

  #open(): Promise<Custody> {
    const world = this.#world;
    const { options, network } = world;
    const runtime: Runtime = {
      clock: () => this.nowMs,
      random: (length) => this.#random.bytes(length),
      sleep: (ms, signal) => this.#sleep(ms, signal),
      codec: cheapCodec,
      user: "os:simulated",
    };
    return createCustody({
      packs: [simulatedPack(this.edition)],
      stores: connectStores({
        world,
        journal: this.#journal,
        network,
        caller: this,
        random: this.#random,
        clock: runtime.clock,
      }),
      keys: new MemoryKeys(world.seed, world.keys),
      runtime,
      reading: simulatedReading,
      identity: { installation: "simulated", version: "0.0.0" },
      settings: { ...CUSTODY_SETTINGS, ...options.settings },
    });
  }

  #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      signal?.addEventListener("abort", () => resolve(), { once: true });
      this.#world.scheduler.after(ms, "sleep", resolve, this.number);
    });
  }
}
