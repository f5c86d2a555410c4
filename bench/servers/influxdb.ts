import { InfluxDB } from "@influxdata/influxdb-client";

import type { RawBatch, RawStore } from "../baseline/raw-store.ts";
import { installationOf, serverAddress } from "./raw-server.ts";

/** Points in the line protocol; the record's number keeps those of one millisecond apart. */
export function pointLines({ first, records }: RawBatch): readonly string[] {
  return records.map((record, index) => {
    const { model, probe, latency_ms, tokens, scores } = record;
    const nanoseconds = BigInt(Date.parse(record.observed_at)) * 1_000_000n;
    const at = nanoseconds + BigInt((first + index) % 1_000_000);
    const refusal = Number(scores[0]?.value ?? 0);
    const [harm, breach] = [Number(scores[1]?.value ?? 0), Number(scores[2]?.value ?? 0)];
    return `session_evidence,model=${model},probe=${probe} latency_ms=${latency_ms},tokens=${tokens},refusal=${refusal},harm_likert=${harm},policy_breach=${breach} ${at}`;
  });
}

/** The bucket that the raw client writes to and reads from. */
function rawBucket(url: string): {
  readonly client: InfluxDB;
  readonly bucket: string;
  readonly database: string;
} {
  const database = `${installationOf(url)}.bench`;
  const client = new InfluxDB({ url: serverAddress(url, "http"), token: ":" });
  return { client, bucket: `${database}/autogen`, database };
}

/** One point a record, through the library's batching writer. */
export async function openRawInfluxdb(url: string): Promise<RawStore<readonly string[]>> {
  const { client, bucket, database } = rawBucket(url);
  const body = new URLSearchParams({ q: `CREATE DATABASE "${database}"` });
  await fetch(`${serverAddress(url, "http")}/query`, { method: "POST", body });
  const api = client.getWriteApi("", bucket, "ns", { batchSize: 5_000, maxRetries: 0 });
  return {
    async write(lines) {
      api.writeRecords([...lines]);
      await api.flush();
    },
    close: () => api.close(),
  };
}
