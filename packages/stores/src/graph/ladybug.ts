import { dirname } from "node:path";

import type { GraphPlacement } from "@custody/contract/placement";
import { asText } from "@custody/contract/value-expression";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { LadybugHost } from "../drivers/ladybug-host.ts";
import type { LadybugFile, LadybugQuestion, LadybugSession } from "../drivers/ladybug.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import { GRAPH_SEQUENCE } from "./content.ts";
import { guardCypher } from "./cypher-guard.ts";
import { GRAPH_LIMITS, STATEMENT_LENGTH_MAX, checkPaths, checkRows } from "./graph-bounds.ts";
import type { GraphModel } from "./graph-model.ts";
import { applyDelivery } from "./ladybug-apply.ts";
import { answerCell } from "./ladybug-cells.ts";
import { storedParts } from "./ladybug-content.ts";
import { LadybugFiles } from "./ladybug-files.ts";
import type { FileKey } from "./ladybug-files.ts";
import { parameterValues } from "./ladybug-parameters.ts";
import { planSteps } from "./ladybug-plan.ts";
import { countRows, findNeighbours, findPaths, readCheckpoint } from "./ladybug-read.ts";
import { tableStatements } from "./ladybug-tables.ts";
import { ModelCache } from "./model-cache.ts";
import type { CypherRequest, GraphLimits, GraphStore } from "./port.ts";
import { RowPage } from "./row-page.ts";

export interface LadybugGraphOptions {
  /** The data directory; a tenant's files lie in `tenants/<tenant>` below it. */
  readonly directory: string;
  /** Secret under which an owner's name becomes a file name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Resident page cache of each open file, at most; default 128 MiB. */
  readonly bufferPoolBytes?: number;
  /** Largest graph file, and the address space each reserves; default 16 GiB. */
  readonly sizeMax?: number;
  /** Tenants whose files are kept open; default 2. */
  readonly openMax?: number;
  /** How long a search for paths or neighbours, or one step of a reconciliation, may take; default 30 s. */
  readonly searchMs?: number;
  /** How long to wait for files that another process still holds; default 5 s. */
  readonly lockWaitMs?: number;
  /** LadybugDB's process is ended when it had nothing to do for so long; default 60 s. */
  readonly idleMs?: number;
  /** Epoch milliseconds, for deadlines; default the system's clock. */
  readonly clock?: () => number;
}

// LadybugDB holds pages of every table that a statement may touch, and a path without edge types may
// touch all. With the 26 labels and 40 edge tables of the packs, 32 MiB refuse to load the example
// evidence, 64 MiB refuse such a path over it, 96 MiB do both.
const BUFFER_POOL_BYTES = 128 * 2 ** 20;
const OPEN_MAX = 2;

type GraphCollection = Collection<GraphPlacement>;

interface FileUse {
  readonly scope: Scope;
  readonly collection: FileKey;
  readonly file: LadybugFile;
}

/** The embedded graph store, and what measurements and tests want to know of it. */
export interface LadybugGraphStore extends GraphStore {
  /** The id of the process that LadybugDB works in, while there is one. */
  readonly processId: number | undefined;
}

/**
 * Embedded graph store: one LadybugDB file per tenant and generation, all open in one process of their
 * own, as LadybugDB can take down the process it works in.
 *
 * Readers work on a snapshot beside the one writer. Memory: `bufferPoolBytes` for each of `openMax`
 * tenants' files, at most, and the process itself.
 *
 * A file that LadybugDB cannot work with is reported as `corrupt` until it is set aside.
 */
export async function openLadybugGraph(options: LadybugGraphOptions): Promise<LadybugGraphStore> {
  const { bufferPoolBytes = BUFFER_POOL_BYTES, sizeMax = 2 ** 34, searchMs = 30_000 } = options;
  const { lockWaitMs = 5_000, idleMs = 60_000, clock = Date.now } = options;
  const host = new LadybugHost({ bufferPoolBytes, sizeMax, lockWaitMs, idleMs });
  const tenants = new TenantFiles<LadybugFiles>({
    directory: options.directory,
    file: "graph",
    ...(options.ownerSalt === undefined ? {} : { ownerSalt: options.ownerSalt }),
    openMax: options.openMax ?? OPEN_MAX,
    open: async (path) =>
      await Promise.resolve(new LadybugFiles({ directory: dirname(path), host })),
    close: (files) => files.close(),
  });
  return await Promise.resolve(new LadybugGraph({ tenants, host, searchMs, clock }));
}

class LadybugGraph implements LadybugGraphStore {
  readonly role = "graph";
  readonly engine = "ladybug";
  readonly limits: GraphLimits = GRAPH_LIMITS;
  readonly #tenants: TenantFiles<LadybugFiles>;
  readonly #host: LadybugHost;
  readonly #searchMs: number;
  readonly #clock: () => number;
  readonly #models = new ModelCache();
  /** Files in which a call met damage. */
  readonly #damaged = new Map<LadybugFile, FileUse>();
  /** The statements that make a model's tables, which files know by their identity. */
  readonly #tables = new WeakMap<GraphModel, readonly string[]>();

  constructor(parts: {
    readonly tenants: TenantFiles<LadybugFiles>;
    readonly host: LadybugHost;
    readonly searchMs: number;
    readonly clock: () => number;
  }) {
    this.#tenants = parts.tenants;
    this.#host = parts.host;
    this.#searchMs = parts.searchMs;
    this.#clock = parts.clock;
  }

  get processId(): number | undefined {
    return this.#host.processId;
  }

  async prepare(scope: Scope, collection: GraphCollection): Promise<void> {
    await this.#write(scope, collection, async () => {});
  }

  async apply(...[scope, collection, delivery]: Parameters<GraphStore["apply"]>): Promise<void> {
    const { placements, isAppendOnly = false } = collection;
    await this.#write(scope, collection, async (file, model) => {
      await file.write(`apply ${collection.name}`, (session) =>
        applyDelivery(session, { model, placements, delivery, isAppendOnly }),
      );
    });
  }

  async repair(): Promise<void> {
    await Promise.resolve();
    throw new StoreError("unsupported", "a graph's rows are shared by records; rebuild it");
  }

  async checkpoint(scope: Scope, collection: GraphCollection): Promise<number> {
    return (await this.#read(scope, collection, readCheckpoint)) ?? 0;
  }

  async discard(scope: Scope, collection: GraphCollection): Promise<void> {
    await this.#tenants.use(scope, (files) => files.discard(collection));
  }

  async digest(...[scope, collection, bucketSize]: Parameters<GraphStore["digest"]>) {
    const sums = new DigestSums(bucketSize);
    await this.#read(scope, collection, async (session, model) => {
      for await (const part of storedParts(session, model)) {
        for await (const { id, content } of part) {
          sums.add(GRAPH_SEQUENCE, rowHash(id, GRAPH_SEQUENCE, content));
        }
      }
    });
    return sums.digests();
  }

  async list(...[scope, collection, range]: Parameters<GraphStore["list"]>) {
    const isIn = range.fromSequence <= GRAPH_SEQUENCE && GRAPH_SEQUENCE < range.toSequence;
    if (!isIn) return { rows: [] };
    const page = new RowPage(range.limit, range.cursor);
    await this.#read(scope, collection, async (session, model) => {
      for await (const part of storedParts(session, model)) {
        for await (const { id, content } of part) {
          if (!page.wants(id)) continue;
          const hash = hashText(rowHash(id, GRAPH_SEQUENCE, content));
          page.add({ id, sequence: GRAPH_SEQUENCE, hash });
        }
        // Later parts hold only later ids.
        if (page.isFull) return;
      }
    });
    return page.page();
  }

  async statistics(scope: Scope) {
    return await this.#tenants.use(scope, async (files) => {
      const collections = [];
      for (const { name, generation } of await files.keys()) {
        const collection = { name, generation };
        const file = await files.find(collection);
        if (file === undefined) continue;
        const records = await this.#notingDamage({ scope, collection, file }, () =>
          file.read("count", this.#timeMs(scope), countRows),
        );
        collections.push({ ...collection, records });
      }
      return { collections, bytes: await files.bytes() };
    });
  }

  async settle(scope: Scope): Promise<void> {
    await this.#tenants.use(scope, async (files) => {
      for (const key of await files.keys()) await (await files.find(key))?.checkpoint();
    });
  }

  async hasDamage(scope: Scope): Promise<boolean> {
    return await Promise.resolve(this.#damagedOf(scope).length > 0);
  }

  async setAside(scope: Scope, atMs: number): Promise<readonly string[]> {
    const names: string[] = [];
    for (const { scope: of, collection, file } of this.#damagedOf(scope)) {
      const name = await this.#tenants.use(of, (files) =>
        files.setAside(collection, { file, atMs }),
      );
      this.#damaged.delete(file);
      if (name !== undefined) names.push(name);
    }
    return names;
  }

  async neighbours(...[scope, collection, query]: Parameters<GraphStore["neighbours"]>) {
    checkRows(query.limit);
    const answer = await this.#read(scope, collection, async (session, model) => ({
      neighbours: await findNeighbours(session, model, query),
      checkpoint: await readCheckpoint(session),
    }));
    return answer ?? { neighbours: [], checkpoint: 0 };
  }

  async paths(...[scope, collection, query]: Parameters<GraphStore["paths"]>) {
    checkPaths(query);
    const answer = await this.#read(scope, collection, async (session, model) => ({
      paths: await findPaths(session, model, query),
      checkpoint: await readCheckpoint(session),
    }));
    return answer ?? { paths: [], checkpoint: 0 };
  }

  async query(...[scope, collection, request]: Parameters<GraphStore["query"]>) {
    const question = questionOf(request);
    const answer = await this.#ask(scope, collection, request.timeMs, async (session) => {
      const { columns, rows, isTruncated } = await session.ask(question);
      checkColumns(columns);
      const cells = rows.map((row) => columns.map((column) => answerCell(row[column])));
      return { columns, rows: cells, isTruncated, checkpoint: await readCheckpoint(session) };
    });
    return answer ?? { columns: [], rows: [], isTruncated: false, checkpoint: 0 };
  }

  async explain(...[scope, collection, request]: Parameters<GraphStore["explain"]>) {
    const { statement, ...rest } = questionOf(request);
    const question = { ...rest, statement: `EXPLAIN ${statement}` };
    const plan = await this.#ask(scope, collection, request.timeMs, async (session) => {
      const { columns, rows } = await session.ask(question);
      return rows.map((row) => asText(row[columns[0] ?? ""])).join("\n");
    });
    return planSteps(plan ?? "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tenants.closeAll();
    await this.#host[Symbol.asyncDispose]();
  }

  async #ask<Result>(
    scope: Scope,
    collection: GraphCollection,
    timeMs: number,
    work: (session: LadybugSession) => Promise<Result>,
  ): Promise<Result | undefined> {
    return await this.#tenants.use(scope, async (files) =>
      (await files.find(collection))?.read("query", this.#timeMs(scope, timeMs), work),
    );
  }

  async #write(
    scope: Scope,
    collection: GraphCollection,
    work: (file: LadybugFile, model: GraphModel) => Promise<void>,
  ): Promise<void> {
    const model = this.#models.modelOf(collection);
    this.#timeMs(scope);
    await this.#tenants.use(scope, async (files) => {
      const file = await files.make(collection);
      await this.#notingDamage({ scope, collection, file }, async () => {
        await this.#define(file, model);
        await work(file, model);
      });
    });
  }

  async #define(file: LadybugFile, model: GraphModel): Promise<void> {
    const statements = this.#tables.get(model) ?? tableStatements(model);
    this.#tables.set(model, statements);
    await file.define(statements);
  }

  async #read<Result>(
    scope: Scope,
    collection: GraphCollection,
    work: (session: LadybugSession, model: GraphModel) => Promise<Result>,
  ): Promise<Result | undefined> {
    const model = this.#models.modelOf(collection);
    return await this.#tenants.use(scope, async (files) => {
      const file = await files.find(collection);
      if (file === undefined) return undefined;
      return await this.#notingDamage({ scope, collection, file }, async () => {
        await this.#define(file, model);
        return await file.read(`read ${collection.name}`, this.#timeMs(scope), (session) =>
          work(session, model),
        );
      });
    });
  }

  async #notingDamage<Result>(use: FileUse, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (cause) {
      const isDamaged = cause instanceof StoreError && cause.code === "corrupt";
      if (isDamaged) this.#damaged.set(use.file, use);
      throw cause;
    }
  }

  #damagedOf({ tenant }: Scope): readonly FileUse[] {
    return [...this.#damaged.values()].filter(({ scope }) => scope.tenant === tenant);
  }

  /** The time a read may take, cut to the scope's deadline. */
  #timeMs({ deadline }: Scope, mostMs: number = this.#searchMs): number {
    const leftMs = deadline - this.#clock();
    if (leftMs <= 0) throw new StoreError("unavailable", "the deadline is over");
    return Math.min(mostMs, leftMs);
  }
}

/** A user's statement, guarded. */
function questionOf({ statement, parameters = {}, rowsMax }: CypherRequest): LadybugQuestion {
  checkRows(rowsMax);
  const bounds = { depthMax: GRAPH_LIMITS.depthMax, lengthMax: STATEMENT_LENGTH_MAX };
  return {
    statement: guardCypher(statement, bounds),
    parameters: parameterValues(parameters),
    rowsMax,
  };
}

// The driver answers a row as an object, in which columns of one name would be one.
function checkColumns(columns: readonly string[]): void {
  if (new Set(columns).size < columns.length || columns.includes("__proto__")) {
    throw new StoreError("refused", "two columns have the same name, or one a forbidden one");
  }
}
