import type { GraphPlacement } from "@custody/contract/placement";

import { DigestSums, hashText, rowHash } from "../content-form.ts";
import { Neo4jServer } from "../drivers/neo4j.ts";
import type { Neo4jCall } from "../drivers/neo4j.ts";
import { parseNeo4jUrl } from "../drivers/neo4j-settings.ts";
import { Neo4jSlots } from "../drivers/neo4j-slots.ts";
import { spaceOf } from "../drivers/space.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth, ServerEngine } from "../server-engine.ts";
import { GRAPH_SEQUENCE } from "./content.ts";
import { confineCypher } from "./cypher-confine.ts";
import { keyParameters } from "./cypher-keys.ts";
import { guardCypher } from "./cypher-guard.ts";
import { newChanges } from "./delivery-changes.ts";
import { GRAPH_LIMITS, STATEMENT_LENGTH_MAX, checkPaths, checkRows } from "./graph-bounds.ts";
import { ModelCache } from "./model-cache.ts";
import { applyChanges } from "./neo4j-apply.ts";
import type { Neo4jTarget } from "./neo4j-apply.ts";
import { answerCell, parameterCells } from "./neo4j-cells.ts";
import { countRows, storedParts } from "./neo4j-content.ts";
import {
  discardGraph,
  findGraphs,
  lockGraph,
  makeGraph,
  neo4jPlace,
  setCommitting,
  writeCheckpoint,
} from "./neo4j-place.ts";
import type { Neo4jPlace } from "./neo4j-place.ts";
import { findNeighbours, findPaths } from "./neo4j-read.ts";
import { readGraph } from "./neo4j-snapshot.ts";
import type { Neo4jReading } from "./neo4j-snapshot.ts";
import type { CypherRequest, GraphLimits, GraphStore } from "./port.ts";
import { RowPage } from "./row-page.ts";

/** How a Neo4j server is used as graph store. */
export interface Neo4jGraphOptions {
  /** `neo4j://user:password@host:7687/installation?database=evidence`; see {@link openNeo4jGraph}. */
  readonly url: string;
  /** Secret under which an owner's name becomes a name of its own; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Epoch milliseconds, for deadlines; default the system's clock. */
  readonly clock?: () => number;
}

type GraphCollection = Collection<GraphPlacement>;

/**
 * Graph store in Neo4j 5.26 or newer, of any edition: one label and one constraint for each graph, so
 * that tenants, owners, generations and installations share a database.
 *
 *     neo4j://ana:secret@db1,db2,db3:7687/production?database=evidence
 *     bolt+s://db:7687?user-file=/run/user&password-file=/run/password&ca=/etc/ca.pem
 *
 * `neo4j` asks a cluster for its members, `bolt` is one server; `+s` is with TLS, for which `ca`, `cert`,
 * `key` and `verify` are as everywhere. The path is the installation's name (default `custody`),
 * `database` the database (default the user's home), `auth` is `basic`, `bearer` (the password is the
 * token) or `none`; `pool`, `timeout` and `connect-timeout` as everywhere.
 *
 * @throws StoreError `refused` for a malformed URL, `unsupported` without the driver.
 */
export async function openNeo4jGraph(
  options: Neo4jGraphOptions,
): Promise<GraphStore & ServerEngine> {
  const { url, ownerSalt, clock = Date.now } = options;
  const server = await Neo4jServer.open(parseNeo4jUrl(url), clock);
  return new Neo4jGraph(server, ownerSalt);
}

class Neo4jGraph implements GraphStore, ServerEngine {
  readonly role = "graph";
  readonly engine = "neo4j";
  readonly limits: GraphLimits = GRAPH_LIMITS;
  readonly #server: Neo4jServer;
  readonly #ownerSalt: Uint8Array | undefined;
  readonly #writers: Neo4jSlots;
  readonly #models = new ModelCache();

  constructor(server: Neo4jServer, ownerSalt: Uint8Array | undefined) {
    this.#server = server;
    this.#ownerSalt = ownerSalt;
    // A writer takes a second connection before it commits: half of them are left for that.
    const writersMax = Math.floor(server.settings.server.poolMax / 2);
    this.#writers = new Neo4jSlots(writersMax, "connections for writing to Neo4j");
  }

  async prepare(scope: Scope, collection: GraphCollection): Promise<void> {
    this.#models.modelOf(collection);
    await makeGraph(this.#server, { doing: "prepare", scope }, this.#place(scope, collection));
  }

  async apply(...[scope, collection, delivery]: Parameters<GraphStore["apply"]>): Promise<void> {
    const model = this.#models.modelOf(collection);
    const place = this.#place(scope, collection);
    const call = { doing: "apply a delivery", scope };
    const { placements, isAppendOnly = false } = collection;
    const write = (): Promise<"done" | "changed" | "missing"> =>
      this.#server.write(call, async (session) => {
        const checkpoint = await lockGraph(session, place);
        if (checkpoint === undefined) return "missing";
        const changes = newChanges({ placements, delivery, isAppendOnly, checkpoint });
        if (changes === undefined) return "done";
        await applyChanges({ session, label: place.label, model }, changes);
        await writeCheckpoint(session, place, delivery.checkpoint);
        if (changes.length === 0) return "done";
        await setCommitting(this.#server, call, { place, isCommitting: true });
        return "changed";
      });
    await this.#writers.run(this.#server.timeOf(call), async () => {
      let outcome = await write();
      if (outcome === "missing") {
        await makeGraph(this.#server, call, place);
        outcome = await write();
      }
      if (outcome === "missing") {
        throw new StoreError("unavailable", "the graph was discarded while it was written");
      }
      if (outcome === "done") return;
      await setCommitting(this.#server, call, { place, isCommitting: false });
    });
  }

  async repair(): Promise<void> {
    await Promise.resolve();
    throw new StoreError("unsupported", "a graph's rows are shared by records; rebuild it");
  }

  async checkpoint(scope: Scope, collection: GraphCollection): Promise<number> {
    const call = { doing: "read the checkpoint", scope };
    const reading = await this.#read(scope, collection, { call, work: async () => undefined });
    return reading?.checkpoint ?? 0;
  }

  async discard(scope: Scope, collection: GraphCollection): Promise<void> {
    const place = this.#place(scope, collection);
    await this.#writers.run(this.#server.timeOf({ doing: "discard", scope }), () =>
      discardGraph(this.#server, { doing: "discard", scope }, place),
    );
  }

  async digest(...[scope, collection, bucketSize]: Parameters<GraphStore["digest"]>) {
    const call = { doing: "read the digest", scope };
    const work = async (target: Neo4jTarget): Promise<DigestSums> => {
      const sums = new DigestSums(bucketSize);
      for await (const part of storedParts(target)) {
        for await (const { id, content } of part) {
          sums.add(GRAPH_SEQUENCE, rowHash(id, GRAPH_SEQUENCE, content));
        }
      }
      return sums;
    };
    const reading = await this.#read(scope, collection, { call, work });
    return reading?.result.digests() ?? [];
  }

  async list(...[scope, collection, range]: Parameters<GraphStore["list"]>) {
    const isIn = range.fromSequence <= GRAPH_SEQUENCE && GRAPH_SEQUENCE < range.toSequence;
    if (!isIn) return { rows: [] };
    const call = { doing: "list rows", scope };
    const work = async (target: Neo4jTarget): Promise<RowPage> => {
      const page = new RowPage(range.limit, range.cursor);
      for await (const part of storedParts(target)) {
        for await (const { id, content } of part) {
          if (!page.wants(id)) continue;
          const hash = hashText(rowHash(id, GRAPH_SEQUENCE, content));
          page.add({ id, sequence: GRAPH_SEQUENCE, hash });
        }
        // Later parts hold only later ids.
        if (page.isFull) break;
      }
      return page;
    };
    const reading = await this.#read(scope, collection, { call, work });
    return reading?.result.page() ?? { rows: [] };
  }

  async statistics(scope: Scope) {
    const call = { doing: "count rows", scope };
    const space = this.#space(scope);
    return await this.#server.read(call, async (session) => {
      const collections = [];
      let bytes = 0;
      for (const { label, name, generation } of await findGraphs(session, space)) {
        const { nodes, edges } = await countRows(session, label);
        collections.push({ name, generation, records: nodes + edges });
        bytes += nodes * NODE_BYTES + edges * EDGE_BYTES;
      }
      return { collections, bytes };
    });
  }

  async settle(): Promise<void> {
    // What was committed is durable, and Neo4j tidies up by itself.
    await Promise.resolve();
  }

  async neighbours(...[scope, collection, query]: Parameters<GraphStore["neighbours"]>) {
    checkRows(query.limit);
    const call = { doing: "find neighbours", scope, isSearch: true };
    const work = (target: Neo4jTarget) => findNeighbours(target, query);
    const reading = await this.#read(scope, collection, { call, work });
    return { neighbours: reading?.result ?? [], checkpoint: reading?.checkpoint ?? 0 };
  }

  async paths(...[scope, collection, query]: Parameters<GraphStore["paths"]>) {
    checkPaths(query);
    const call = { doing: "find paths", scope, isSearch: true };
    const work = (target: Neo4jTarget) => findPaths(target, query);
    const reading = await this.#read(scope, collection, { call, work });
    return { paths: reading?.result ?? [], checkpoint: reading?.checkpoint ?? 0 };
  }

  async query(...[scope, collection, request]: Parameters<GraphStore["query"]>) {
    const { statement, parameters, label } = this.#question(scope, collection, request);
    const { timeMs, rowsMax } = request;
    const call = { doing: "run the statement", scope, timeMs, isSearch: true };
    const work = ({ session }: Neo4jTarget) => session.first(statement, parameters, rowsMax);
    const reading = await this.#read(scope, collection, { call, work });
    if (reading === undefined) return { columns: [], rows: [], isTruncated: false, checkpoint: 0 };
    const { columns, rows, isTruncated } = reading.result;
    const cells = rows.map((row) => row.map((value) => answerCell(value, label)));
    return { columns, rows: cells, isTruncated, checkpoint: reading.checkpoint };
  }

  async explain(...[scope, collection, request]: Parameters<GraphStore["explain"]>) {
    const { statement, parameters } = this.#question(scope, collection, request);
    const call = { doing: "explain the statement", scope, timeMs: request.timeMs, isSearch: true };
    const work = ({ session }: Neo4jTarget) => session.explain(statement, parameters);
    const reading = await this.#read(scope, collection, { call, work });
    return reading?.result ?? [];
  }

  async health(): Promise<EngineHealth> {
    return await this.#server.health();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }

  /** A user's statement, confined to the collection's graph. */
  #question(scope: Scope, collection: GraphCollection, request: CypherRequest) {
    checkRows(request.rowsMax);
    const { label } = this.#place(scope, collection);
    const guarded = guardCypher(request.statement, {
      depthMax: GRAPH_LIMITS.depthMax,
      lengthMax: STATEMENT_LENGTH_MAX,
    });
    const parameters = parameterCells(request.parameters ?? {});
    const statement = confineCypher(guarded, {
      label,
      model: this.#models.modelOf(collection),
      keyParameters: keyParameters(parameters),
    });
    return { statement, parameters, label };
  }

  async #read<Result>(
    scope: Scope,
    collection: GraphCollection,
    {
      call,
      work,
    }: { readonly call: Neo4jCall; readonly work: (target: Neo4jTarget) => Promise<Result> },
  ): Promise<Neo4jReading<Result> | undefined> {
    const model = this.#models.modelOf(collection);
    const place = this.#place(scope, collection);
    const reader = { server: this.#server, place, writers: this.#writers };
    return await readGraph(reader, call, (session) => work({ session, label: place.label, model }));
  }

  #space(scope: Scope): { readonly installation: string; readonly space: string } {
    const { installation } = this.#server.settings;
    return { installation, space: spaceOf(scope, this.#ownerSalt) };
  }

  #place(scope: Scope, collection: GraphCollection): Neo4jPlace {
    return neo4jPlace(this.#space(scope), collection);
  }
}

// Neo4j does not tell how large a part of a database is. Its record format takes 15 bytes a node, 34 an
// edge, 41 for each few properties and more for long texts (neo4j.com/docs/operations-manual/5/tools/
// neo4j-admin/neo4j-admin-store-info); a node with six short properties came to about 300 in all.
const NODE_BYTES = 300;
const EDGE_BYTES = 75;
