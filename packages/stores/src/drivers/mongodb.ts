import { createHash } from "node:crypto";

import type {
  Collection as ServerCollection,
  Db,
  Document,
  Filter,
  MongoClient,
  MongoClientOptions,
} from "mongodb";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { EngineHealth } from "../server-engine.ts";
import { callMilliseconds, withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";
import { MAJOR_MIN, NEEDED, isCommandNotFound, mapMongoError } from "./mongodb-errors.ts";
import { parseServerUrl } from "./server-settings.ts";
import type { ServerSettings } from "./server-settings.ts";
import { spaceOf } from "./space.ts";

/** What the server is and can do, told by itself. */
export interface MongoServer {
  /** `MongoDB`, `FerretDB`, or `another server of MongoDB's protocol`. */
  readonly product: string;
  readonly version: string;
  readonly topology: "single" | "replica-set" | "sharded";
  /**
   * True for MongoDB itself. Others are asked for more where they answer otherwise than it does, and each
   * row is looked at here: `$elemMatch` with conditions on members, which FerretDB 1 knows for plain values
   * alone and on which mongo-java-server fails where an element is a text; and what is absent at a path
   * through an array, which both of them find where an element is no object.
   */
  readonly isFaithful: boolean;
  /** False for FerretDB 1: it makes indexes of names that it cannot quote, and reads without them all the same. */
  readonly hasIndexes: boolean;
  /**
   * Updates in one command. FerretDB 1 keeps a connection to its database for each until the last is
   * done, and stands still for ever at a hundred.
   */
  readonly updatesAtOnceMax: number;
}

/** One call: on whose behalf, and what bounds it. */
export interface MongoCall {
  readonly database: Db;
  readonly server: MongoServer;
  /**
   * To be spread into the options of each operation as it begins. The driver's own `timeoutMS` does
   * nothing (mongodb 7, `timeout.ts`): the server is given the limit, and the signal ends reads.
   *
   * @throws StoreError `unavailable` once the call was given up, so that it writes nothing more.
   */
  readonly timed: { readonly maxTimeMS?: number; readonly signal: AbortSignal };
  /** How many bytes a document takes as BSON. */
  readonly bsonBytes: (document: Document) => number;
}

/** What bounds a call besides the scope's deadline. */
export interface MongoCallOptions {
  /**
   * For streams over all rows: every answer comes within the URL's time-out, and there may be as many
   * as it takes. Other calls end as a whole within the time-out.
   */
  readonly isStream?: boolean;
}

const RULES = {
  product: "MongoDB",
  schemes: { mongodb: "clear", "mongodb+srv": "tls" },
  defaultPort: 27_017,
  options: ["auth-source", "auth-mechanism", "replica-set", "direct"],
} as const;

// MongoDB's names of databases are shorter than 64 bytes (mongodb.com/docs/manual/reference/limits).
const INSTALLATION_LENGTH_MAX = 24;
const DATABASE_LENGTH_MAX = 63;
const UPDATES_AT_ONCE_MAX = 1_000;
// One that ended with `_` would meet another's `_system`.
const INSTALLATION = /^[A-Za-z0-9_-]*[A-Za-z0-9-]$/;
// Node's timers and MongoDB's limits count milliseconds in 31 bits.
const LIMIT_MS_MAX = 2 ** 31 - 1;

interface MongoDriverParts {
  readonly connect: () => MongoClient;
  readonly bsonBytes: (document: Document) => number;
  readonly settings: ServerSettings;
  readonly ownerSalt: Uint8Array | undefined;
}

/** MongoDriver: the connections of one installation to a server of MongoDB's protocol. */
export class MongoDriver implements AsyncDisposable {
  readonly #parts: MongoDriverParts;
  readonly #installation: string;
  #connected: Promise<MongoClient> | undefined;
  #server: Promise<MongoServer> | undefined;

  constructor(parts: MongoDriverParts) {
    this.#parts = parts;
    this.#installation = parts.settings.path === "" ? "custody" : parts.settings.path;
  }

  /** Runs work on the database of the scope's tenant or owner; answers typed errors, in time. */
  async call<Result>(
    scope: Scope,
    doing: string,
    work: (call: MongoCall) => Promise<Result>,
    { isStream = false }: MongoCallOptions = {},
  ): Promise<Result> {
    const { settings, bsonBytes, ownerSalt } = this.#parts;
    const name = databaseName(this.#installation, scope, ownerSalt);
    const startedAt = Date.now();
    const ms = callMilliseconds(scope, isStream ? LIMIT_MS_MAX : settings.timeoutMs, startedAt);
    try {
      return await withinMilliseconds(ms, "MongoDB", async (signal) => {
        const server = await this.#known(settings.timeoutMs);
        return await work({
          database: (await this.#client()).db(name),
          server,
          get timed() {
            if (signal.aborted) throw new StoreError("unavailable", `${doing}: was given up`);
            // Of a stream the server would count all parts together.
            if (ms === LIMIT_MS_MAX) return { signal };
            return { maxTimeMS: Math.max(1, ms - (Date.now() - startedAt)), signal };
          },
          bsonBytes,
        });
      });
    } catch (cause) {
      throw mapMongoError(doing, cause);
    }
  }

  async health(): Promise<EngineHealth> {
    const startedAt = Date.now();
    try {
      const { timeoutMs } = this.#parts.settings;
      this.#server = undefined;
      const server = await withinMilliseconds(timeoutMs, "MongoDB", () => this.#known(timeoutMs));
      return {
        product: server.product,
        version: server.version,
        tookMs: Date.now() - startedAt,
      };
    } catch (cause) {
      throw mapMongoError("ask MongoDB for its version", cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#connected?.catch(() => undefined);
    await client?.close();
  }

  /** The connected client. One that could not connect at first is closed for good, so it is made anew. */
  #client(): Promise<MongoClient> {
    this.#connected ??= this.#connect().catch((cause: unknown) => {
      this.#connected = undefined;
      throw cause;
    });
    return this.#connected;
  }

  async #connect(): Promise<MongoClient> {
    const client = this.#parts.connect();
    try {
      return await client.connect();
    } catch (cause) {
      await client.close();
      throw cause;
    }
  }

  #known(maxTimeMS: number): Promise<MongoServer> {
    this.#server ??= this.#ask(maxTimeMS).catch((cause: unknown) => {
      this.#server = undefined;
      throw cause;
    });
    return this.#server;
  }

  async #ask(maxTimeMS: number): Promise<MongoServer> {
    const admin = (await this.#client()).db("admin");
    const asked = admin.command({ hello: 1, maxTimeMS }).catch((cause: unknown) => {
      // Servers before 5.0, of which some others are, do not know the word.
      if (isCommandNotFound(cause)) return {};
      throw cause;
    });
    const [built, hello] = await Promise.all([admin.command({ buildInfo: 1, maxTimeMS }), asked]);
    return serverOf(built, hello);
  }
}

/** A database for each tenant and owner: none can be reached from another's. */
export function databaseName(
  installation: string,
  scope: Scope,
  ownerSalt: Uint8Array | undefined,
): string {
  const space = spaceOf(scope, ownerSalt);
  const plain = `${installation}_${space}`;
  if (plain.length <= DATABASE_LENGTH_MAX && !space.includes("~")) return plain;
  // Only `_system` begins with `_` among the names of tenants, so a shortened name is none of another's.
  const digest = createHash("sha256").update(space).digest("hex").slice(0, 32);
  return `${installation}__${digest}`;
}

/**
 * What a server's answers to `buildInfo` and `hello` say of it.
 *
 * @throws StoreError `unsupported` for a MongoDB that is too old.
 */
export function serverOf(built: Document, hello: Document): MongoServer {
  const version = String(built["version"]);
  const isReplicaSet = typeof hello["setName"] === "string";
  const topology =
    hello["msg"] === "isdbgrid" ? "sharded" : isReplicaSet ? "replica-set" : "single";
  const ferret: unknown = built["ferretdb"] ?? built["ferretdbVersion"];
  if (ferret !== undefined) {
    const own =
      typeof ferret === "object" && ferret !== null && "version" in ferret
        ? ferret.version
        : ferret;
    const ferretVersion = String(own).replace(/^v/, "");
    const isFirst = ferretVersion.startsWith("1.");
    return {
      product: "FerretDB",
      version: ferretVersion,
      topology,
      isFaithful: false,
      hasIndexes: !isFirst,
      updatesAtOnceMax: isFirst ? 20 : UPDATES_AT_ONCE_MAX,
    };
  }
  // MongoDB names the commit it was built from.
  const isMongo = typeof built["gitVersion"] === "string";
  const product = isMongo ? "MongoDB" : "another server of MongoDB's protocol";
  if (Number(version.split(".")[0]) < MAJOR_MIN) {
    throw new StoreError("unsupported", `MongoDB ${version} is too old: ${NEEDED}`);
  }
  return {
    product,
    version,
    topology,
    isFaithful: isMongo,
    hasIndexes: true,
    updatesAtOnceMax: UPDATES_AT_ONCE_MAX,
  };
}

/**
 * Connects to a server of MongoDB's protocol when it is first asked something.
 *
 * @throws StoreError `refused` for a URL that cannot be used, `unsupported` without the library.
 */
export async function openMongoDriver(options: {
  readonly url: string;
  readonly ownerSalt?: Uint8Array;
}): Promise<MongoDriver> {
  const settings = readMongoSettings(options.url);
  const library = await loadClientLibrary(() => import("mongodb"), {
    product: "MongoDB",
    install: "mongodb@7",
  });
  const connect = (): MongoClient =>
    new library.MongoClient(addressOf(settings), clientOptions(settings));
  try {
    // Made once and thrown away: what the library refuses in the URL is said now.
    await connect().close();
  } catch (cause) {
    throw mapMongoError("read the URL of MongoDB", cause);
  }
  const bsonBytes = (document: Document): number => library.BSON.calculateObjectSize(document);
  return new MongoDriver({ connect, bsonBytes, settings, ownerSalt: options.ownerSalt });
}

/** Reads a MongoDB's URL. @throws StoreError `refused` for one that cannot be used. */
export function readMongoSettings(url: string): ServerSettings {
  const settings = parseServerUrl(url, RULES);
  const { path } = settings;
  if (path === "" || (INSTALLATION.test(path) && path.length <= INSTALLATION_LENGTH_MAX)) {
    return settings;
  }
  throw new StoreError(
    "refused",
    `the URL of MongoDB cannot be used: after the host stands the installation's name, 1 to ${INSTALLATION_LENGTH_MAX} of A-Z a-z 0-9 _ -, and no _ at its end`,
  );
}

/** The hosts, as the client takes them. */
export function addressOf({ scheme, hosts }: ServerSettings): string {
  const names = hosts.map(({ host, port }) => {
    const name = host.includes(":") ? `[${host}]` : host;
    return scheme === "mongodb" ? `${name}:${port}` : name;
  });
  return `${scheme}://${names.join(",")}/`;
}

/** All else that a URL says, as the client takes it. */
export function clientOptions(settings: ServerSettings): MongoClientOptions {
  const { user, password, tls, options, timeoutMs, connectMs, poolMax } = settings;
  const mechanism = options["auth-mechanism"];
  const credentials =
    user === undefined
      ? {}
      : { auth: { username: user, ...(password === undefined ? {} : { password }) } };
  return {
    ...credentials,
    ...(options["auth-source"] === undefined ? {} : { authSource: options["auth-source"] }),
    ...(mechanism === undefined
      ? {}
      : { authMechanism: mechanism as NonNullable<MongoClientOptions["authMechanism"]> }),
    ...(options["replica-set"] === undefined ? {} : { replicaSet: options["replica-set"] }),
    ...(options["direct"] === undefined ? {} : { directConnection: options["direct"] === "true" }),
    ...(tls === undefined ? {} : tlsOptions(tls)),
    appName: "custody",
    maxPoolSize: poolMax,
    connectTimeoutMS: connectMs,
    serverSelectionTimeoutMS: connectMs,
    waitQueueTimeoutMS: timeoutMs,
    socketTimeoutMS: timeoutMs,
    heartbeatFrequencyMS: 1_000,
    // Rows can be read from the journal again; checkpoints ask for a majority (`DURABLE`).
    writeConcern: { w: 1 },
    // The primary alone: of two secondaries one may have a checkpoint whose rows the other has not.
    readPreference: "primary",
    // A caller repeats by itself, and knows what is harmless to repeat.
    retryWrites: false,
    retryReads: false,
    useBigInt64: true,
    promoteBuffers: true,
  };
}

function tlsOptions({
  ca,
  cert,
  key,
  isVerified,
}: NonNullable<ServerSettings["tls"]>): MongoClientOptions {
  return {
    tls: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(isVerified ? {} : { tlsInsecure: true }),
  };
}

/** How a checkpoint is written: neither a crash nor another primary takes it back, nor what was written before it. */
export const DURABLE: {
  readonly writeConcern: { readonly w: "majority"; readonly journal: true };
} = {
  writeConcern: { w: "majority", journal: true },
};

/**
 * How rows are written: with their checkpoint, which comes after them in the same log, they are durable too.
 * Of a sharded cluster each shard has a log of its own.
 */
export function rowConcern({ topology }: MongoServer): Partial<typeof DURABLE> {
  return topology === "sharded" ? DURABLE : {};
}

/** How a checkpoint is read: one that another primary may take back is not yet there. */
export function checkpointConcern({ topology }: MongoServer): {
  readonly readConcern?: { readonly level: "majority" };
} {
  // A server by itself has no majority to ask.
  return topology === "single" ? {} : { readConcern: { level: "majority" } };
}

/** A row: a document whose `_id` is a text. */
export type MongoRow = { _id: string } & Document;
/** A condition on rows. */
export type MongoQuery = Filter<MongoRow>;
/** A collection of rows. */
export type MongoDocuments = ServerCollection<MongoRow>;
