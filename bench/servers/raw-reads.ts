// A child process: the reads people make, by the raw clients, on what the raw run has left.
import { READ_CALLS, readSamples } from "../read-samples.ts";
import type { ReadSample } from "../read-samples.ts";
import { timeCalls } from "../quantiles.ts";
import { answer, serverRequest } from "../run-request.ts";
import { rawTable } from "./clickhouse.ts";
import { rawDocuments } from "./mongodb.ts";
import { rawGraph } from "./neo4j.ts";
import { rawIndex } from "./opensearch.ts";
import { rawPostgresql } from "./postgresql.ts";

const { input, urls } = serverRequest();
const samples = readSamples(input);
const at = (index: number): ReadSample => {
  const sample = samples[index % samples.length];
  if (sample === undefined) throw new RangeError("there are no records to read");
  return sample;
};
const { client: mongo, documents } = await rawDocuments(urls.document ?? "");
const { client: search, index } = rawIndex(urls.search ?? "");
const { client: clickhouse, table } = rawTable(urls.analytics ?? "");
const { driver, prefix } = rawGraph(urls.graph ?? "");
const { client: postgresql, schema } = await rawPostgresql(urls.relational ?? "");
// The generator's first day: what the same question to Custody names as well.
const from = new Date(Date.UTC(2026, 0, 5));
const to = new Date(Date.UTC(2026, 0, 6));

const hits = async (words: string): Promise<unknown> => {
  const { body } = await search.search({
    index,
    body: {
      query: { multi_match: { query: words, operator: "and", fields: ["prompt", "response"] } },
      highlight: { fields: { prompt: {}, response: {} } },
      size: 10,
      track_total_hits: true,
    },
  });
  return body.hits.hits;
};

answer({
  get: await timeCalls(READ_CALLS, (call) => documents.findOne({ _id: at(call).id })),
  find: await timeCalls(READ_CALLS, (call) =>
    documents
      .find({ session_id: at(call).session_id })
      .sort({ _id: 1 })
      .limit(20)
      .toArray(),
  ),
  search: await timeCalls(READ_CALLS, (call) => hits(at(call).words)),
  aggregate: await timeCalls(READ_CALLS, async () => {
    const query = `SELECT model, count() AS attempts, avg(harm_likert) AS harm FROM ${table}
      GROUP BY model ORDER BY model LIMIT 100`;
    return (await clickhouse.query({ query, format: "JSONEachRow" })).json();
  }),
  neighbours: await timeCalls(READ_CALLS, (call) =>
    driver.executeQuery(
      `MATCH (p:${prefix}_Probe {id: $id})-[f:FOUND]->(v:${prefix}_Vulnerability)
       RETURN v.id, f.count ORDER BY v.id LIMIT 100`,
      { id: at(call).probe },
      { routing: "READ" },
    ),
  ),
  series: await timeCalls(READ_CALLS, () =>
    postgresql.query({
      name: "series",
      text: `SELECT date_bin('1 hour', at, 'epoch') AS bucket, model, avg(latency_ms), max(tokens)
        FROM ${schema}.point WHERE at >= $1 AND at < $2 GROUP BY bucket, model ORDER BY bucket, model`,
      values: [from, to],
    }),
  ),
  table: await timeCalls(READ_CALLS, async () => {
    const { rows } = await postgresql.query<{ session_id: string }>({
      name: "table",
      text: `SELECT * FROM ${schema}.session_summary ORDER BY attempts DESC, session_id LIMIT 50`,
    });
    const ids = rows.map(({ session_id }) => session_id);
    return postgresql.query({
      name: "counts",
      text: `SELECT * FROM ${schema}.session_count WHERE session_id = ANY($1)`,
      values: [ids],
    });
  }),
});
await Promise.all([
  mongo.close(),
  search.close(),
  clickhouse.close(),
  driver.close(),
  postgresql.end(),
]);
