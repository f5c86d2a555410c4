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
import { mapMongoError } from "./mongodb-errors.ts";
import { parseServerUrl } from "./server-settings.ts";
import type { ServerSettings } from "./server-settings.ts";
import { spaceOf } from "./space.ts";

/** What the server can do, told by itself. */
export interface MongoServer {
  /** `MongoDB`, `FerretDB`, or `another server of MongoDB's protocol`. */
  readonly product: string;
  readonly version: string;
}

/** One call: on whose behalf, and the options that bound its time. */
export interface MongoCall {
  readonly database: Db;
  readonly server: MongoServer;
  /** To be spread into each operation's options. */
  readonly timed: { readonly timeoutMS: number };
}

const RULES = {
  product: "MongoDB",
  schemes: { mongodb: "clear", "mongodb+srv": "tls" },
  defaultPort: 27_017,
  options: ["auth-source", "auth-mechanism", "replica-set", "direct", "read-preference"],
} as const;

/** The oldest version whose `$nor`, `$min` and bulk upserts the adapter was written for. */
const MAJOR_MIN = 5;
// MongoDB's names of databases are shorter than 64 bytes (mongodb.com/docs/manual/reference/limits).
const INSTALLATION_LENGTH_MAX = 24;
const DATABASE_LENGTH_MAX = 63;
const INSTALLATION = /^[A-Za-z0-9_-]+$/;

interface MongoDriverParts {
  readonly connect: () => MongoClient;
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
  ): Promise<Result> {
    const name = this.#databaseName(scope);
    const startedAt = Date.now();
    const ms = callMilliseconds(scope, this.#parts.settings.timeoutMs, startedAt);
    try {
      return await withinMilliseconds(ms, "MongoDB", async () => {
        const server = await this.#known(ms);
        return await work({
          database: (await this.#client()).db(name),
          server,
          timed: {
            get timeoutMS() {
              return Math.max(1, ms - (Date.now() - startedAt));
            },
          },
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
      return { ...server, tookMs: Date.now() - startedAt };
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

  #known(timeoutMS: number): Promise<MongoServer> {
    this.#server ??= this.#ask(timeoutMS).catch((cause: unknown) => {
      this.#server = undefined;
      throw cause;
    });
    return this.#server;
  }

  async #ask(timeoutMS: number): Promise<MongoServer> {
    const admin = (await this.#client()).db("admin");
    const built = await admin.command({ buildInfo: 1 }, { timeoutMS });
    const version = String(built["version"]);
    const ferret: unknown = built["ferretdb"] ?? built["ferretdbVersion"];
    if (ferret !== undefined) {
      const own =
        typeof ferret === "object" && ferret !== null && "version" in ferret
          ? ferret.version
          : ferret;
      return { product: "FerretDB", version: String(own).replace(/^v/, "") };
    }
    // MongoDB names the commit it was built from.
    const isMongo = typeof built["gitVersion"] === "string";
    const product = isMongo ? "MongoDB" : "another server of MongoDB's protocol";
    if (Number(version.split(".")[0]) >= MAJOR_MIN) return { product, version };
    throw new StoreError(
      "unsupported",
      `MongoDB ${version} is too old: Custody needs ${MAJOR_MIN}.0 or newer`,
    );
  }

  /** A database for each tenant and owner: none can be reached from another's. */
  #databaseName(scope: Scope): string {
    const space = spaceOf(scope, this.#parts.ownerSalt);
    const plain = `${this.#installation}_${space}`;
    if (plain.length <= DATABASE_LENGTH_MAX && !space.includes("~")) return plain;
    // Only `_system` begins with `_` among the names of tenants, so a shortened name is none of another's.
    const digest = createHash("sha256").update(space).digest("hex").slice(0, 32);
    return `${this.#installation}__${digest}`;
  }
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
  const settings = parseServerUrl(options.url, RULES);
  const { path } = settings;
  if (path !== "" && (!INSTALLATION.test(path) || path.length > INSTALLATION_LENGTH_MAX)) {
    throw new StoreError(
      "refused",
      `the URL of MongoDB cannot be used: after the host stands the installation's name, 1 to ${INSTALLATION_LENGTH_MAX} of A-Z a-z 0-9 _ -`,
    );
  }
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
  return new MongoDriver({ connect, settings, ownerSalt: options.ownerSalt });
}

function addressOf({ scheme, hosts }: ServerSettings): string {
  const names = hosts.map(({ host, port }) => {
    const name = host.includes(":") ? `[${host}]` : host;
    return scheme === "mongodb" ? `${name}:${port}` : name;
  });
  return `${scheme}://${names.join(",")}/`;
}

function clientOptions(settings: ServerSettings): MongoClientOptions {
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
    ...(options["read-preference"] === undefined
      ? {}
      : {
          readPreference: options["read-preference"] as NonNullable<
            MongoClientOptions["readPreference"]
          >,
        }),
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
    // A caller repeats by itself, and knows what is harmless to repeat.
    retryWrites: false,
    retryReads: false,
    useBigInt64: true,
    promoteValues: true,
    ignoreUndefined: false,
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

/** How a checkpoint is written: everything before it has then reached the majority as well. */
export const DURABLE: { readonly writeConcern: { readonly w: "majority" } } = {
  writeConcern: { w: "majority" },
};

/** A row: a document whose `_id` is a text. */
export type MongoRow = { _id: string } & Document;
/** A condition on rows. */
export type MongoQuery = Filter<MongoRow>;
/** A collection of rows. */
export type MongoDocuments = ServerCollection<MongoRow>;
