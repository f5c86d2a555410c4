// A child process: the same reads with the raw drivers, on what the baseline run has left.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { DuckDBInstance } from "@duckdb/node-api";
import { Connection, Database } from "@ladybugdb/core";

import { timeCalls } from "../quantiles.ts";
import { READ_CALLS, readSamples } from "../read-samples.ts";
import { answer, runRequest } from "../run-request.ts";

const MIB = 2 ** 20;

const { input, directory } = runRequest();
const samples = readSamples(input);
const documents = new DatabaseSync(join(directory, "document.sqlite"), { readOnly: true });
const index = new DatabaseSync(join(directory, "search.sqlite"), { readOnly: true });
const duckdb = await DuckDBInstance.create(join(directory, "analytics.duckdb"), {
  threads: "1",
  access_mode: "READ_ONLY",
});
const analytics = await duckdb.connect();
const path = join(directory, "graph.lbug");
const graph = new Database(path, 256 * MIB, true, true, 16 * 1024 * MIB);
const cypher = new Connection(graph, 1);

const sampleAt = (call: number): (typeof samples)[number] => {
  const sample = samples[call % samples.length];
  if (sample === undefined) throw new RangeError("there are no records to read");
  return sample;
};
const parse = (row: Readonly<Record<string, unknown>> | undefined): unknown =>
  JSON.parse(String(row?.["body"]));

const byId = documents.prepare("SELECT json(body) AS body FROM document WHERE id = ?");
const bySession = documents.prepare(
  "SELECT json(body) AS body FROM document WHERE session_id = ? ORDER BY n LIMIT 20",
);
const byRow = documents.prepare("SELECT json(body) AS body FROM document WHERE n = ?");
const hits = index.prepare(
  "SELECT rowid AS n FROM search WHERE search MATCH ? ORDER BY rank LIMIT 10",
);
const total = index.prepare("SELECT count(*) AS n FROM search WHERE search MATCH ?");
const neighbours = await cypher.prepare(
  "MATCH (p:Probe {id: $id})-[f:FOUND]->(v:Vulnerability) RETURN v.id, f.count ORDER BY v.id LIMIT 100",
);

answer({
  get: await timeCalls(READ_CALLS, (call) => parse(byId.get(sampleAt(call).id))),
  find: await timeCalls(READ_CALLS, (call) => bySession.all(sampleAt(call).session_id).map(parse)),
  search: await timeCalls(READ_CALLS, (call) => {
    const { words } = sampleAt(call);
    total.get(words);
    return hits.all(words).map((row) => parse(byRow.get(row["n"] ?? null)));
  }),
  aggregate: await timeCalls(READ_CALLS, async () => {
    const sql = `SELECT model, count(*), avg(harm_likert) FROM analytics GROUP BY model ORDER BY model`;
    return (await analytics.runAndReadAll(sql)).getRows();
  }),
  neighbours: await timeCalls(READ_CALLS, async (call) => {
    const result = await cypher.execute(neighbours, { id: sampleAt(call).probe });
    for (const one of Array.isArray(result) ? result : [result]) {
      await one.getAll();
      one.close();
    }
  }),
});
