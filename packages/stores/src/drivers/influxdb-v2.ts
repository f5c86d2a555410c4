import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import type { Influxdb, InfluxdbDialect, InfluxdbRange } from "./influxdb.ts";

// Names of buckets a page; the server gives at most 100 (docs.influxdata.com/influxdb/v2/api, GetBuckets).
const PAGE = 100;
// Deletions under way at once: each is a request of its own.
const DELETES_TOGETHER = 4;

/** InfluxDB 2.x: buckets and deletions through its API (docs.influxdata.com/influxdb/v2/api). */
export class InfluxdbV2 implements InfluxdbDialect {
  readonly #server: Influxdb;
  readonly #organisation: string;

  constructor(server: Influxdb, organisation: string) {
    this.#server = server;
    this.#organisation = organisation;
  }

  bucketName(bucket: string): string {
    return bucket;
  }

  async listBuckets(scope: Scope): Promise<readonly string[]> {
    return (await this.#buckets(scope)).map(({ name }) => name);
  }

  async makeBucket(scope: Scope, bucket: string): Promise<void> {
    if (await this.#find(scope, bucket)) return;
    const orgID = await this.#organisationId(scope);
    try {
      await this.#server.request(scope, {
        doing: "make a bucket",
        method: "POST",
        path: "/api/v2/buckets",
        body: JSON.stringify({
          orgID,
          name: bucket,
          retentionRules: [{ type: "expire", everySeconds: 0, shardGroupDurationSeconds: SHARD_S }],
        }),
        headers: { "content-type": "application/json" },
      });
    } catch (cause) {
      // Another process may have made it in the meantime.
      if (!(await this.#find(scope, bucket))) throw cause;
    }
  }

  async dropBucket(scope: Scope, bucket: string): Promise<void> {
    const found = await this.#find(scope, bucket);
    if (found === undefined) return;
    await this.#server.request(scope, {
      doing: "drop a bucket",
      method: "DELETE",
      path: `/api/v2/buckets/${encodeURIComponent(found.id)}`,
    });
  }

  async deleteRanges(
    scope: Scope,
    bucket: string,
    ranges: readonly InfluxdbRange[],
  ): Promise<void> {
    const to = `org=${encodeURIComponent(this.#organisation)}&bucket=${encodeURIComponent(bucket)}`;
    for (let at = 0; at < ranges.length; at += DELETES_TOGETHER) {
      const together = ranges.slice(at, at + DELETES_TOGETHER).map((range) =>
        this.#server.request(scope, {
          doing: "delete points",
          method: "POST",
          path: `/api/v2/delete?${to}`,
          body: JSON.stringify(deletion(range)),
          headers: { "content-type": "application/json" },
        }),
      );
      await Promise.all(together);
    }
  }

  /** The server tells sizes only to those who may read its metrics. */
  async bucketBytes(): Promise<ReadonlyMap<string, number>> {
    return await Promise.resolve(new Map());
  }

  async #find(scope: Scope, bucket: string): Promise<Bucket | undefined> {
    try {
      const [found] = await this.#buckets(scope, `&name=${encodeURIComponent(bucket)}`);
      return found;
    } catch (cause) {
      // Some versions answer 404 where others answer an empty list.
      if (cause instanceof StoreError && cause.code === "refused") return undefined;
      throw cause;
    }
  }

  async #buckets(scope: Scope, filter?: string): Promise<readonly Bucket[]> {
    const found: Bucket[] = [];
    for (let offset = 0; ; offset += PAGE) {
      const page = await this.#page(scope, filter ?? `&limit=${PAGE}&offset=${offset}`);
      found.push(...page);
      if (filter !== undefined || page.length < PAGE) return found;
    }
  }

  async #page(scope: Scope, query: string): Promise<readonly Bucket[]> {
    const answer = (await this.#server.request(scope, {
      doing: "list buckets",
      method: "GET",
      path: `/api/v2/buckets?org=${encodeURIComponent(this.#organisation)}${query}`,
    })) as { readonly buckets?: readonly Bucket[] };
    return answer.buckets ?? [];
  }

  async #organisationId(scope: Scope): Promise<string> {
    const answer = (await this.#server.request(scope, {
      doing: "find the organisation",
      method: "GET",
      path: `/api/v2/orgs?org=${encodeURIComponent(this.#organisation)}`,
    })) as { readonly orgs?: readonly { readonly id: string }[] };
    const id = answer.orgs?.[0]?.id;
    if (id !== undefined) return id;
    throw new StoreError("refused", `InfluxDB has no organisation ${this.#organisation}`);
  }
}

// As in version 1.8: a month.
const SHARD_S = 4 * 7 * 86_400;

interface Bucket {
  readonly id: string;
  readonly name: string;
}

interface Deletion {
  readonly start: string;
  readonly stop: string;
  readonly predicate: string;
}

/** Both instants are in (docs.influxdata.com/influxdb/v2/write-data/delete-data). */
function deletion({ measurement, tags, from, to }: InfluxdbRange): Deletion {
  const conditions = [["_measurement", measurement] as const, ...tags].map(
    ([name, value]) => `${quoted(name)}=${quoted(value)}`,
  );
  return { start: instantText(from), stop: instantText(to), predicate: conditions.join(" AND ") };
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** RFC 3339 with nanoseconds. */
function instantText(nanoseconds: bigint): string {
  const part = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = Number((nanoseconds - part) / 1_000_000_000n);
  const whole = new Date(seconds * 1_000).toISOString().slice(0, 19);
  return `${whole}.${String(part).padStart(9, "0")}Z`;
}
