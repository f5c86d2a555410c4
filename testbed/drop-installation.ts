import {
  DeleteBucketCommand,
  DeleteObjectsCommand,
  ListObjectVersionsCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Admin } from "@platformatic/kafka";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import pg from "pg";

import { openOpensearchCluster } from "@custody/stores/drivers/opensearch";
import { readRedisSettings } from "@custody/stores/drivers/redis-settings";
import { readS3Settings } from "@custody/stores/drivers/s3-settings";
import { firstHost } from "@custody/stores/drivers/server-settings";
import { dropDatabases } from "@custody/stores/testing/clickhouse-server";
import { InfluxdbTestServer } from "@custody/stores/testing/influxdb-server";
import { RawNeo4j } from "@custody/stores/testing/raw-neo4j";
import { scopeFor } from "@custody/stores/testing/scope";

import type { InstallationUrls } from "./role-urls.ts";

/** Removes all that an installation has made on the servers of its URLs, past its stores. */
export async function dropInstallation(urls: InstallationUrls): Promise<void> {
  const dropped = await Promise.allSettled([...new Set(Object.values(urls))].map(drop));
  const failures = dropped.flatMap((one) =>
    one.status === "rejected" ? [String(one.reason)] : [],
  );
  if (failures.length > 0) throw new Error(`not dropped: ${failures.join("; ")}`);
}

async function drop(url: string): Promise<void> {
  switch (/^[a-z0-9]+/.exec(url)?.[0]) {
    case "postgresql":
    case "postgres":
    case "timescale":
      return dropSchemas(url);
    case "mongodb":
      return dropMongoDatabases(url);
    case "opensearch":
    case "opensearchs":
    case "elasticsearch":
    case "elasticsearchs":
      return dropIndices(url);
    case "clickhouse":
    case "clickhouses":
      return dropDatabases(url, pathOf(url));
    case "bolt":
    case "neo4j":
      return dropGraphs(url);
    case "influxdb":
      return new InfluxdbTestServer(url).drop([pathOf(url)]);
    case "redis":
    case "rediss":
      return dropKeys(url);
    case "s3":
    case "s3s":
      return dropObjects(url);
    case "kafka":
      return dropTopics(url);
    default:
      throw new Error("an installation is dropped on a server of no product that is known");
  }
}

function pathOf(url: string): string {
  return /^[^:]+:\/\/[^/?#]*\/([^?#]*)/.exec(url)?.[1] ?? "";
}

async function dropSchemas(url: string): Promise<void> {
  const [place = "", query = ""] = url.split(/\?(.*)/s, 2);
  const schema = new URLSearchParams(query).get("schema") ?? "";
  const client = new pg.Client(place.replace(/^timescale:/, "postgresql:"));
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "SELECT quote_ident(nspname) AS name FROM pg_namespace WHERE starts_with(nspname, $1)",
      [`${schema}_`],
    );
    // One a statement: the locks of a schema's tables are held until its end.
    for (const { name } of rows) await client.query(`DROP SCHEMA ${name} CASCADE`);
  } finally {
    await client.end();
  }
}

async function dropMongoDatabases(url: string): Promise<void> {
  const client = await new MongoClient(url.replace(/^([^:]+:\/\/[^/?]*).*$/s, "$1")).connect();
  try {
    const { databases } = await client.db().admin().listDatabases({ nameOnly: true });
    for (const { name } of databases) {
      if (name.startsWith(`${pathOf(url)}_`)) await client.db(name).dropDatabase();
    }
  } finally {
    await client.close();
  }
}

async function dropIndices(url: string): Promise<void> {
  await using cluster = await openOpensearchCluster(url);
  const path = [`${pathOf(url)}.*`];
  await cluster.send(scopeFor("tests"), { doing: "tidy up", method: "DELETE", path });
}

async function dropGraphs(url: string): Promise<void> {
  await using server = new RawNeo4j(url);
  await server.drop(pathOf(url));
}

const KEYS_A_PAGE = 1_000;

async function dropKeys(url: string): Promise<void> {
  const settings = readRedisSettings(url);
  const { user, password, database, prefix } = settings;
  const client = new Redis({
    ...firstHost(settings),
    db: database,
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
  });
  for await (const page of client.scanStream({ match: `${prefix}:*`, count: KEYS_A_PAGE })) {
    const keys = page as readonly string[];
    if (keys.length > 0) await client.unlink(...keys);
  }
  client.disconnect();
}

async function dropObjects(url: string): Promise<void> {
  const {
    bucket: Bucket,
    prefix,
    endpoint,
    region,
    credentials,
    isPathStyle,
    isMade,
  } = readS3Settings(url);
  const client = new S3Client({
    region,
    forcePathStyle: isPathStyle,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  });
  try {
    for (;;) {
      const found = await client.send(new ListObjectVersionsCommand({ Bucket, Prefix: prefix }));
      const Objects = [...(found.Versions ?? []), ...(found.DeleteMarkers ?? [])].map(
        ({ Key, VersionId }) => ({ Key, VersionId }),
      );
      if (Objects.length === 0) break;
      await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    }
    if (isMade) await client.send(new DeleteBucketCommand({ Bucket }));
  } catch (error) {
    // An installation that was never opened has no bucket.
    if (!(error instanceof Error && error.name === "NoSuchBucket")) throw error;
  } finally {
    client.destroy();
  }
}

async function dropTopics(url: string): Promise<void> {
  const bootstrapBrokers = (/^[^:]+:\/\/([^/?#]*)/.exec(url)?.[1] ?? "").split(",");
  const admin = new Admin({ clientId: "tidy-up", bootstrapBrokers });
  const isOwn = (name: string): boolean => name.startsWith(`${pathOf(url)}.`);
  try {
    const topics = (await admin.listTopics()).filter(isOwn);
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const groups = [...(await admin.listGroups()).keys()].filter(isOwn);
    if (groups.length > 0) await admin.deleteGroups({ groups });
  } finally {
    await admin.close();
  }
}
