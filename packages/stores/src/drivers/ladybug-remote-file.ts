import { StoreError } from "../errors.ts";
import type { StoreErrorCode } from "../errors.ts";
import { ChildEndedError } from "./child-process.ts";
import type { CallTime, CallableChild } from "./child-process.ts";
import type { LadybugSide, LadybugStatementRequest } from "./ladybug-protocol.ts";
import { mapLadybugError } from "./ladybug.ts";
import type {
  LadybugAnswer,
  LadybugFile,
  LadybugParameters,
  LadybugQuestion,
  LadybugRow,
  LadybugSession,
} from "./ladybug.ts";

/** Where a file is open: in which process, under which number. */
export interface LadybugPlace {
  readonly child: CallableChild;
  readonly file: number;
}

/** What a file needs of its host. */
export interface LadybugFileHost {
  /** Runs work while the file is open; the process is not ended meanwhile. */
  use<Result>(work: (place: LadybugPlace) => Promise<Result>): Promise<Result>;
  onWritten(): void;
  /** Told when a write failed on the disk. */
  onDiskFailure(): Promise<void>;
  /** Told when the process crashed during a write; answers what to throw. */
  onCrash(cause: ChildEndedError): Error;
}

// A statement of ours is at most some thousand rows: seconds. What takes longer than this has stopped.
const WRITE_MS_MAX = 600_000;
// A read is interrupted in the process after its time; where it does not heed that, the process is ended.
const INTERRUPT_GRACE_MS = 5_000;
const DISK_CODES: ReadonlySet<StoreErrorCode> = new Set(["full", "read-only", "unavailable"]);

/** A LadybugDB file that is open in another process: only statements, parameters and rows go there. */
export class RemoteLadybugFile implements LadybugFile {
  readonly #path: string;
  readonly #host: LadybugFileHost;
  readonly #last: Record<LadybugSide, Promise<unknown>>;
  #defined: { readonly statements: readonly string[]; readonly child: CallableChild } | undefined;

  constructor(path: string, host: LadybugFileHost) {
    this.#path = path;
    this.#host = host;
    this.#last = { writer: Promise.resolve(), reader: Promise.resolve() };
  }

  async write<Result>(
    doing: string,
    work: (session: LadybugSession) => Promise<Result>,
  ): Promise<Result> {
    const result = await this.#written(doing, (session) =>
      inTransaction(session, "BEGIN TRANSACTION", work),
    );
    this.#host.onWritten();
    return result;
  }

  async read<Result>(
    doing: string,
    timeMs: number,
    work: (session: LadybugSession) => Promise<Result>,
  ): Promise<Result> {
    return await this.#exclusive("reader", doing, (place) =>
      inTransaction(
        new RemoteSession(place, "reader", timeMs),
        "BEGIN TRANSACTION READ ONLY",
        work,
      ),
    );
  }

  async define(statements: readonly string[]): Promise<void> {
    if (this.#defined?.statements === statements && !this.#defined.child.isEnded) return;
    await this.#written("make tables", async (session, { child }) => {
      for (const statement of statements) await session.direct(statement);
      this.#defined = { statements, child };
    });
  }

  async checkpoint(): Promise<void> {
    await this.#written("checkpoint", (session) => session.direct("CHECKPOINT"));
  }

  async #written<Result>(
    doing: string,
    work: (session: RemoteSession, place: LadybugPlace) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await this.#exclusive("writer", doing, (place) =>
        work(new RemoteSession(place, "writer"), place),
      );
    } catch (cause) {
      if (cause instanceof ChildEndedError) throw cause.isCrash ? this.#host.onCrash(cause) : cause;
      const isOfDisk = cause instanceof StoreError && DISK_CODES.has(cause.code);
      if (isOfDisk) await this.#host.onDiskFailure();
      throw cause;
    }
  }

  /** Runs work when all earlier work on this side has ended, and maps what it throws. */
  async #exclusive<Result>(
    side: LadybugSide,
    doing: string,
    work: (place: LadybugPlace) => Promise<Result>,
  ): Promise<Result> {
    const turn = this.#last[side].then(() => this.#host.use(work));
    this.#last[side] = turn.catch(() => undefined);
    try {
      return await turn;
    } catch (cause) {
      throw mapLadybugError(`${doing} in ${this.#path}`, cause);
    }
  }
}

async function inTransaction<Result>(
  session: LadybugSession,
  begin: string,
  work: (session: LadybugSession) => Promise<Result>,
): Promise<Result> {
  await session.direct(begin);
  try {
    const result = await work(session);
    await session.direct("COMMIT");
    return result;
  } catch (cause) {
    // A failed statement may have ended the transaction already; then there is nothing to roll back.
    await session.direct("ROLLBACK").catch(() => []);
    throw cause;
  }
}

class RemoteSession implements LadybugSession {
  readonly #place: LadybugPlace;
  readonly #side: LadybugSide;
  readonly #timeMs: number | undefined;

  constructor(place: LadybugPlace, side: LadybugSide, timeMs?: number) {
    this.#place = place;
    this.#side = side;
    this.#timeMs = timeMs;
  }

  async direct(statement: string): Promise<readonly LadybugRow[]> {
    return (await this.#call("direct", { statement, parameters: {}, rowsMax: ALL })).rows;
  }

  async run(statement: string, parameters: LadybugParameters = {}): Promise<readonly LadybugRow[]> {
    return (await this.#call("run", { statement, parameters, rowsMax: ALL })).rows;
  }

  async ask(question: LadybugQuestion): Promise<LadybugAnswer> {
    return await this.#call("ask", question);
  }

  async #call(
    how: LadybugStatementRequest["how"],
    question: LadybugQuestion,
  ): Promise<LadybugAnswer> {
    const { child, file } = this.#place;
    const timeMs = this.#timeMs;
    const limit = timeMs === undefined ? {} : { timeMs };
    const request: LadybugStatementRequest = { file, side: this.#side, how, ...question, ...limit };
    const time: CallTime =
      timeMs === undefined
        ? { timeMs: WRITE_MS_MAX }
        : { timeMs: timeMs + INTERRUPT_GRACE_MS, late: "limit" };
    return (await child.call(request, time)) as LadybugAnswer;
  }
}

const ALL = Number.POSITIVE_INFINITY;
