import { dirname } from "node:path";

import type { GraphPlacement } from "@custody/contract/placement";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import type { LadybugFile, LadybugSession } from "../drivers/ladybug.ts";
import { TenantFiles } from "../drivers/tenant-files.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import { GRAPH_SEQUENCE } from "./content.ts";
import { guardCypher } from "./cypher-guard.ts";
import { graphModel } from "./graph-model.ts";
import type { GraphModel } from "./graph-model.ts";
import { applyDelivery } from "./ladybug-apply.ts";
import { answerCell } from "./ladybug-cells.ts";
import { storedParts } from "./ladybug-content.ts";
import { LadybugFiles } from "./ladybug-files.ts";
import { parameterValues } from "./ladybug-parameters.ts";
import { countRows, findNeighbours, findPaths, readCheckpoint } from "./ladybug-read.ts";
import { tableStatements } from "./ladybug-tables.ts";
import type { GraphLimits, GraphStore } from "./port.ts";
import { RowPage } from "./row-page.ts";

export interface LadybugGraphOptions {
  /** The data directory; a tenant's files lie in `tenants/<tenant>` below it. */
  readonly directory: string;
  /** Secret under which an owner's name becomes a file name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Resident page cache of each open file; default 64 MiB. */
  readonly bufferPoolBytes?: number;
  /** Largest graph file, and the address space each reserves; default 16 GiB. */
  readonly sizeMax?: number;
  /** Tenants whose files are kept open; default 4. */
  readonly openMax?: number;
  /** How long a search for paths or neighbours, or one step of a reconciliation, may take; default 30 s. */
  readonly searchMs?: number;
}

// LadybugDB refuses variable-length patterns of more than 30; trails of more than 16 edges are too many
// to walk in any graph where they would matter.
const LIMITS: GraphLimits = { depthMax: 16, rowsMax: 10_000 };
const STATEMENT_LENGTH_MAX = 64 * 1024;

type GraphCollection = Collection<GraphPlacement>;

/**
 * Embedded graph store: one LadybugDB file per tenant and generation.
 *
 * Readers work on a snapshot beside the one writer. Memory: `bufferPoolBytes` for each of `openMax`
 * tenants' files, at most.
 */
export async function openLadybugGraph(options: LadybugGraphOptions): Promise<GraphStore> {
  const { bufferPoolBytes = 64 * 2 ** 20, sizeMax = 2 ** 34, searchMs = 30_000 } = options;
  const tenants = new TenantFiles<LadybugFiles>({
    directory: options.directory,
    file: "graph",
    ...(options.ownerSalt === undefined ? {} : { ownerSalt: options.ownerSalt }),
    openMax: options.openMax ?? 4,
    open: async (path) =>
      await Promise.resolve(
        new LadybugFiles({ directory: dirname(path), bufferPoolBytes, sizeMax }),
      ),
    close: (files) => files.close(),
  });
  const store = new LadybugGraph(tenants, searchMs);
  return await Promise.resolve(store);
}

class LadybugGraph implements GraphStore {
  readonly role = "graph";
  readonly engine = "ladybug";
  readonly limits: GraphLimits = LIMITS;
  readonly #tenants: TenantFiles<LadybugFiles>;
  readonly #searchMs: number;
  readonly #models = new Map<string, GraphModel>();
  /** The model whose tables each open file is known to have. */
  readonly #defined = new WeakMap<LadybugFile, GraphModel>();

  constructor(tenants: TenantFiles<LadybugFiles>, searchMs: number) {
    this.#tenants = tenants;
    this.#searchMs = searchMs;
  }

  async prepare(scope: Scope, collection: GraphCollection): Promise<void> {
    await this.#write(scope, collection, async () => {});
  }

  async apply(...[scope, collection, delivery]: Parameters<GraphStore["apply"]>): Promise<void> {
    await this.#write(scope, collection, async (file, model) => {
      await file.write(`apply ${collection.name}`, (session) =>
        applyDelivery(session, { model, placements: collection.placements, delivery }),
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
        const file = await files.find({ name, generation });
        const records = await file?.read("count", this.#searchMs, countRows);
        collections.push({ name, generation, records: records ?? 0 });
      }
      return { collections, bytes: await files.bytes() };
    });
  }

  async settle(scope: Scope): Promise<void> {
    await this.#tenants.use(scope, async (files) => {
      for (const key of await files.keys()) await (await files.find(key))?.checkpoint();
    });
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
    checkRows(query.limit);
    if (!Number.isInteger(query.depthMax) || query.depthMax < 1) {
      throw new StoreError("refused", "depthMax is a whole number of 1 or more");
    }
    if (query.depthMax > LIMITS.depthMax) {
      throw new StoreError("limit", `paths are at most ${LIMITS.depthMax} edges long`);
    }
    const answer = await this.#read(scope, collection, async (session, model) => ({
      paths: await findPaths(session, model, query),
      checkpoint: await readCheckpoint(session),
    }));
    return answer ?? { paths: [], checkpoint: 0 };
  }

  async query(...[scope, collection, request]: Parameters<GraphStore["query"]>) {
    checkRows(request.rowsMax);
    const statement = guardCypher(request.statement, {
      depthMax: LIMITS.depthMax,
      lengthMax: STATEMENT_LENGTH_MAX,
    });
    const parameters = parameterValues(request.parameters ?? {});
    const answer = await this.#tenants.use(scope, async (files) =>
      (await files.find(collection))?.read("query", request.timeMs, async (session) => {
        const question = { statement, parameters, rowsMax: request.rowsMax };
        const { columns, rows, isTruncated } = await session.ask(question);
        checkColumns(columns);
        const cells = rows.map((row) => columns.map((column) => answerCell(row[column])));
        return { columns, rows: cells, isTruncated, checkpoint: await readCheckpoint(session) };
      }),
    );
    return answer ?? { columns: [], rows: [], isTruncated: false, checkpoint: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tenants.closeAll();
  }

  async #write(
    scope: Scope,
    collection: GraphCollection,
    work: (file: LadybugFile, model: GraphModel) => Promise<void>,
  ): Promise<void> {
    const model = this.#model(collection);
    await this.#tenants.use(scope, async (files) => {
      const file = await files.make(collection);
      if (this.#defined.get(file) !== model) {
        await file.define(tableStatements(model));
        this.#defined.set(file, model);
      }
      await work(file, model);
    });
  }

  async #read<Result>(
    scope: Scope,
    collection: GraphCollection,
    work: (session: LadybugSession, model: GraphModel) => Promise<Result>,
  ): Promise<Result | undefined> {
    const model = this.#model(collection);
    return await this.#tenants.use(scope, async (files) => {
      const file = await files.find(collection);
      if (file === undefined) return undefined;
      if (this.#defined.get(file) !== model) await this.prepare(scope, collection);
      return await file.read(`read ${collection.name}`, this.#searchMs, (session) =>
        work(session, model),
      );
    });
  }

  #model({ placements }: GraphCollection): GraphModel {
    const text = JSON.stringify(placements);
    let model = this.#models.get(text);
    if (model === undefined) {
      model = graphModel(placements);
      if (this.#models.size > 64) this.#models.clear();
      this.#models.set(text, model);
    }
    return model;
  }
}

function checkRows(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new StoreError("refused", "a limit is a whole number of 1 or more");
  }
  if (limit > LIMITS.rowsMax) {
    throw new StoreError("limit", `at most ${LIMITS.rowsMax} rows are answered`);
  }
}

// The driver answers a row as an object, in which columns of one name would be one.
function checkColumns(columns: readonly string[]): void {
  if (new Set(columns).size < columns.length || columns.includes("__proto__")) {
    throw new StoreError("refused", "two columns have the same name, or one a forbidden one");
  }
}
