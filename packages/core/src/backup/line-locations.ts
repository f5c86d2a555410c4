import type { LineLocation } from "@custody/stores/relational/journal";

import { CoreError } from "../errors.ts";
import type { ObjectRef } from "./backup-manifest.ts";
import type { BackupObjects } from "./backup-objects.ts";
import { PageWriter, readPages } from "./object-pages.ts";
import type { PutObject, RowForm } from "./object-pages.ts";

/** Consecutive entries whose lines lie one behind the other: all inline, or in one segment. */
export interface LocationRun {
  readonly from: number;
  readonly to: number;
  /** Where the first entry's lines begin; those of the next follow its own. */
  readonly location: LineLocation;
  /** Lines of all of them together. */
  readonly lines: number;
}

const RUN_ROWS: RowForm<LocationRun> = {
  nameOf: ({ from }) => String(from),
  encode: ({ from, to, location, lines }) =>
    location.kind === "inline"
      ? [from, to, lines]
      : [from, to, lines, location.segmentId, location.firstLine],
  decode: (value) => {
    if (!Array.isArray(value)) throw new CoreError("damaged", "a run of locations is no list");
    const [from, to, lines, segmentId, firstLine] = value as readonly unknown[];
    if (!isCount(from) || !isCount(to) || !isCount(lines) || from < 1 || to < from)
      throw new CoreError("damaged", "a run of locations is no run");
    if (segmentId === undefined) return { from, to, lines, location: { kind: "inline" } };
    if (typeof segmentId !== "string" || !isCount(firstLine))
      throw new CoreError("damaged", "a run of locations has no segment");
    return { from, to, lines, location: { kind: "segment", segmentId, firstLine } };
  },
};

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Writes where entries lie, in order of their sequences, as few runs. */
export class LocationWriter {
  readonly #pages: PageWriter<LocationRun>;
  readonly #onSegment: (segmentId: string) => void;
  #run: LocationRun | undefined;

  constructor(put: PutObject, onSegment: (segmentId: string) => void) {
    this.#pages = new PageWriter(RUN_ROWS, put);
    this.#onSegment = onSegment;
  }

  async add(run: LocationRun): Promise<void> {
    const joined = this.#run === undefined ? undefined : join(this.#run, run);
    if (joined === undefined) {
      await this.#flush();
      if (run.location.kind === "segment") this.#onSegment(run.location.segmentId);
    }
    this.#run = joined ?? run;
  }

  async finish(): Promise<readonly ObjectRef[]> {
    await this.#flush();
    return this.#pages.finish();
  }

  async #flush(): Promise<void> {
    if (this.#run !== undefined) await this.#pages.add(this.#run);
    this.#run = undefined;
  }
}

function join(left: LocationRun, right: LocationRun): LocationRun | undefined {
  const [a, b] = [left.location, right.location];
  const follows =
    a.kind === "inline"
      ? b.kind === "inline"
      : b.kind === "segment" &&
        b.segmentId === a.segmentId &&
        b.firstLine === a.firstLine + left.lines;
  if (!follows || right.from !== left.to + 1) return undefined;
  return { ...left, to: right.to, lines: left.lines + right.lines };
}

/** The runs of a backup, in order. */
export function readLocations(
  objects: BackupObjects,
  pages: readonly ObjectRef[],
): AsyncGenerator<LocationRun> {
  return readPages(objects, pages, RUN_ROWS);
}

/** Gives the location of one entry after the other; holds one run. */
export class LocationCursor {
  readonly #runs: AsyncGenerator<LocationRun>;
  #run: LocationRun | undefined;
  #next: number;
  /** How many lines of the run lie before the next entry. */
  #linesBefore = 0;

  private constructor(
    runs: AsyncGenerator<LocationRun>,
    run: LocationRun | undefined,
    next: number,
  ) {
    this.#runs = runs;
    this.#run = run;
    this.#next = next;
  }

  /** Stands so that the location of the entry behind `after` can be told. */
  static async behind(runs: AsyncGenerator<LocationRun>, after: number): Promise<LocationCursor> {
    let run: LocationRun | undefined;
    do {
      const next = await runs.next();
      run = next.done === true ? undefined : next.value;
    } while (run !== undefined && run.to <= after);
    const isInSegment = run?.location.kind === "segment";
    return new LocationCursor(runs, run, isInSegment ? (run?.from ?? 0) : after + 1);
  }

  /** The entry with which {@link LocationCursor.take} begins: lines of a segment are counted from a run's first. */
  get next(): number {
    return this.#next;
  }

  /**
   * Where an entry's lines lie; entries come in order, without a gap.
   *
   * @throws CoreError `damaged` when the backup does not tell.
   */
  async take(entry: { readonly sequence: number; readonly count: number }): Promise<LineLocation> {
    const { sequence, count } = entry;
    if (sequence === this.#next && this.#run !== undefined && this.#run.to < sequence)
      await this.#advance();
    const run = this.#run;
    if (sequence !== this.#next || run === undefined || run.from > sequence)
      throw new CoreError("damaged", `the backup does not tell where entry ${sequence} lies`);
    const before = this.#linesBefore;
    this.#linesBefore += count;
    this.#next += 1;
    if (this.#linesBefore > run.lines)
      throw new CoreError("damaged", `entry ${sequence} has more lines than its location`);
    const { location } = run;
    return location.kind === "inline"
      ? location
      : { ...location, firstLine: location.firstLine + before };
  }

  /** @throws CoreError `damaged` when there are locations beyond the last entry. */
  async end(): Promise<void> {
    const rest = await this.#runs.next();
    const isOver = this.#run === undefined || this.#run.to < this.#next;
    if (rest.done !== true || !isOver)
      throw new CoreError("damaged", "there are locations of entries that are not in the backup");
  }

  async #advance(): Promise<void> {
    const next = await this.#runs.next();
    this.#run = next.done === true ? undefined : next.value;
    this.#linesBefore = 0;
  }
}
