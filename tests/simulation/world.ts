import type { CustodySettings } from "@custody/core/create-custody";
import type { Custody } from "@custody/core/custody";
import { PROJECTED_ROLES } from "@custody/core/stores";
import type { ProjectedRole } from "@custody/core/stores";
import { openMemoryCache } from "@custody/stores/cache/memory";
import type { Cache } from "@custody/stores/cache/port";

import { JournalDatabase } from "./adapters/memory-journal.ts";
import { MemoryKeys } from "./adapters/memory-keys.ts";
import { MemoryProjected } from "./adapters/memory-projected.ts";
import { MemoryStream } from "./adapters/memory-stream.ts";
import { SimulatedDisk } from "./adapters/simulated-disk.ts";
import type { Fault } from "./faults.ts";
import { Network } from "./network.ts";
import { SimulatedProcess } from "./process.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";
import type { Edition } from "./simulated-types.ts";
import type { WorldStores } from "./store-clients.ts";

/** What a world is like, drawn once for all of it. */
export interface WorldOptions {
  /** How many processes share the stores. */
  readonly processes: number;
  readonly settings: Partial<CustodySettings>;
}

/** When every simulation begins. */
const START_MS: number = Date.parse("2026-04-01T00:00:00Z");
// A workload takes some ten thousand events; one that takes a hundred times as many goes round for ever.
const EVENTS_MAX = 600_000;

/** World: the stores, what is between, and the processes, all drawn from one seed. */
export class World implements WorldStores {
  readonly seed: number;
  readonly options: WorldOptions;
  readonly faults: readonly Fault[];
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly database: JournalDatabase;
  readonly disk: SimulatedDisk;
  readonly backupDisk: SimulatedDisk;
  readonly cache: Cache;
  readonly stream: MemoryStream = new MemoryStream();
  readonly projected: ReadonlyMap<ProjectedRole, MemoryProjected>;
  readonly keys: MemoryKeys;
  readonly #slots: (SimulatedProcess | undefined)[] = [];
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  readonly #isUsed = new Set<Fault>();
  readonly #snapshots = new Map<string, () => void>();
  /** Set when somebody has changed rows behind a store's back. */
  hasDrifted = false;
  #processes = 0;
  #edition: Edition = 1;
  #isHealed = false;

  private constructor(
    seed: number,
    options: WorldOptions,
    faults: readonly Fault[],
    parts: { readonly scheduler: Scheduler; readonly cache: Cache },
  ) {
    const { scheduler } = parts;
    this.seed = seed;
    this.options = options;
    this.faults = faults;
    this.scheduler = scheduler;
    this.cache = parts.cache;
    this.network = new Network({
      scheduler,
      random: new Random(seed, "network"),
      faults,
      startMs: START_MS,
    });
    this.database = new JournalDatabase({
      clock: () => scheduler.nowMs,
      sleep: (ms) => scheduler.sleep(ms, "lock"),
    });
    this.disk = new SimulatedDisk(new Random(seed, "disk"));
    this.backupDisk = new SimulatedDisk(new Random(seed, "backup disk"));
    this.keys = new MemoryKeys(seed);
    this.projected = new Map(
      PROJECTED_ROLES.map((role) => {
        return [role, new MemoryProjected({ role, hasOwners: true, poison: poisonOf(role) })];
      }),
    );
  }

  /** Makes a world in which nothing has happened yet. */
  static async make(seed: number, options: WorldOptions, faults: readonly Fault[]): Promise<World> {
    const random = new Random(seed, "order");
    const scheduler = new Scheduler(random, { nowMs: START_MS, eventsMax: EVENTS_MAX });
    const cache = await openMemoryCache({ clock: () => scheduler.nowMs, bytesMax: 1024 * 1024 });
    const world = new World(seed, options, faults, { scheduler, cache });
    for (let slot = 0; slot < options.processes; slot += 1) world.#start(slot);
    world.#scheduleFaults();
    return world;
  }

  /** The edition of the types that processes are started with. */
  get edition(): Edition {
    return this.#edition;
  }

  /** Milliseconds since the world began. */
  get elapsedMs(): number {
    return this.scheduler.nowMs - START_MS;
  }

  /** The processes that run. */
  get processes(): readonly SimulatedProcess[] {
    return this.#slots.filter((process) => process !== undefined);
  }

  /** The process of a slot, when it runs: at once or once it is started again. */
  async process(slot: number): Promise<SimulatedProcess> {
    for (;;) {
      const process = this.#slots[slot];
      if (process !== undefined) return process;
      await this.#whenStarted(slot).promise;
    }
  }

  /** The library in a process of its own, in which no fault of the plan happens. */
  async freshCustody(): Promise<{ readonly custody: Custody; readonly process: SimulatedProcess }> {
    this.#processes += 1;
    const at = { number: this.#processes, slot: -1 };
    const process = new SimulatedProcess(this, at, this.#edition);
    return { custody: await process.custody(), process };
  }

  /** Nothing goes wrong any more. */
  heal(): void {
    this.#isHealed = true;
    this.network.heal();
  }

  /** The crash that a plan wants at a call of a process, once. */
  crashAt(
    slot: number,
    number: number,
    call: number,
    phase: "before" | "after",
  ): Extract<Fault, { kind: "crash" }> | undefined {
    if (this.#isHealed || number < 0) return undefined;
    for (const fault of this.faults) {
      if (fault.kind !== "crash" || fault.slot !== slot || this.#isUsed.has(fault)) continue;
      if (fault.call !== call || fault.phase !== phase) continue;
      this.#isUsed.add(fault);
      return fault;
    }
    return undefined;
  }

  /** Starts another process where one has ended. */
  restart(process: SimulatedProcess, downMs: number): void {
    if (process.slot < 0) return;
    this.#slots[process.slot] = undefined;
    this.scheduler.after(downMs, `start of slot ${process.slot}`, () => this.#start(process.slot));
  }

  /** Every process is stopped in an orderly way and started with the next edition of the types. */
  async deploy(edition: Edition): Promise<void> {
    this.#edition = edition;
    for (const process of this.processes) {
      if (!process.isAlive) continue;
      await Promise.race([process.stop(), process.ended]);
      if (this.#slots[process.slot] === process) this.#start(process.slot);
    }
  }

  /** Keeps projected stores as they are now, for a power cut to come back to. */
  takeSnapshots(): void {
    for (const [role, store] of this.projected) this.#snapshots.set(role, store.snapshot());
  }

  #start(slot: number): void {
    this.#processes += 1;
    const process = new SimulatedProcess(this, { number: this.#processes, slot }, this.#edition);
    this.#slots[slot] = process;
    this.scheduler.note(`process ${process.number} in slot ${slot}`);
    this.#whenStarted(slot).resolve();
    this.#waiting.delete(slot);
  }

  #whenStarted(slot: number): PromiseWithResolvers<void> {
    const known = this.#waiting.get(slot) ?? Promise.withResolvers<void>();
    this.#waiting.set(slot, known);
    return known;
  }

  #scheduleFaults(): void {
    for (const fault of this.faults) {
      if (!("atMs" in fault)) continue;
      this.scheduler.after(fault.atMs, `fault ${fault.kind}`, () => {
        if (!this.#isHealed) this.#happen(fault);
      });
      if (fault.kind === "power")
        this.scheduler.after(fault.atMs * 0.7, "snapshot", () => this.takeSnapshots());
    }
  }

  #happen(fault: Extract<Fault, { readonly atMs: number }>): void {
    if (fault.kind === "power") {
      for (const process of this.processes) process.crash(fault.downMs, false);
      this.disk.powerCut();
      this.backupDisk.powerCut();
      for (const name of fault.older) this.#snapshots.get(name)?.();
      return;
    }
    const process = this.#slots[fault.slot];
    if (process === undefined) return;
    if (fault.kind === "clock") process.jump(fault.byMs);
    else this.scheduler.stall(process.number, this.scheduler.nowMs + fault.forMs);
  }
}

/** What makes a record unacceptable to the store of a role. */
export function poisonOf(role: ProjectedRole): string {
  return `poison for ${role}`;
}
