// Kills a real process between Kafka and the journal at moments nobody chose, runs it again, and counts.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import type { Custody } from "@custody/core/custody";
import { initCustody, openCustody } from "@custody/server/compose";
import { openKafkaStream } from "@custody/stores/stream/kafka";
import { describeOnServer } from "@custody/stores/testing/engine-server";
import {
  dropKafka,
  kafkaUrl,
  newKafkaPrefix,
  produceKafka,
  withKafkaAdmin,
} from "@custody/stores/testing/kafka-server";
import { afterEach, beforeEach, expect, test } from "vitest";

const scope = { tenant: "acme", actor: "user:test", deadline: Number.POSITIVE_INFINITY };
const type = "redteam/session_evidence";

const fields = (number: number): Record<string, unknown> => ({
  id: `r${String(number).padStart(7, "0")}`,
  session_id: "s",
  observed_at: "2026-03-04T05:06:07.000Z",
  model: "aurora",
  probe: `p.${number % 7}`,
  scores: [{ scorer: "refusal", type: "true_false", value: number % 2 === 0 }],
  vulnerability_ids: [],
  labels: {},
  converters: [],
  latency_ms: number % 100,
  tokens: 10,
  prompt: { turns: [{ role: "user", content: `please number ${number}` }] },
  response: { content: "x".repeat(200) },
});

let root = "";
let place = { dataDirectory: "", keyFile: "" };
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "custody-crash-"));
  place = { dataDirectory: join(root, "data"), keyFile: join(root, "root.key") };
  await initCustody(place);
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** When a program is killed: so long after it has printed so many lines. */
interface Death {
  readonly lines: number;
  readonly afterMs: number;
}

/** Runs a program on the directory, which prints a line when it has opened it, until its death. */
async function runUntil(program: string, url: string, { lines, afterMs }: Death): Promise<void> {
  const source = `
    import { openCustody } from "@custody/server/compose";
    const custody = await openCustody({ ...${JSON.stringify(place)}, engines: { stream: ${JSON.stringify(url)} } });
    const scope = { tenant: "acme", actor: "user:test", deadline: Infinity };
    console.log("open");
    ${program}`;
  const file = join(import.meta.dirname, `.stream-${process.pid}.mts`);
  await writeFile(file, source);
  const child = spawn(
    process.execPath,
    ["--conditions=source", "--disable-warning=ExperimentalWarning", file],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let printed = 0;
  for await (const _line of createInterface({ input: child.stdout })) {
    printed += 1;
    if (printed < lines) continue;
    await pause(afterMs);
    child.kill("SIGKILL");
  }
  child.kill("SIGKILL");
  await ended;
  await rm(file);
}

/** How many messages of all partitions are committed. */
async function positionIn(custody: Custody): Promise<number> {
  const after = (await custody.status(scope)).entries;
  const { records } = await custody.find(scope, "custody/stream_positions", { after });
  return records.reduce((sum, { fields: found }) => sum + Number(found["next_offset"]), 0);
}

describeOnServer("kafka", (server) => {
  let prefix = "";
  beforeEach(() => {
    prefix = newKafkaPrefix();
  });
  afterEach(() => dropKafka(server, prefix));

  test("whoever reads a topic is killed again and again: every message's record is there, once", async () => {
    const total = 2_000;
    const topic = `${prefix}.acme.findings`;
    await withKafkaAdmin(server, (admin) =>
      admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 }),
    );
    const messages = Array.from({ length: total }, (_, number) => ({
      topic,
      key: `k${number % 50}`,
      value: number % 100 === 99 ? `no json ${number}` : JSON.stringify(fields(number)),
    }));
    for (let from = 0; from < total; from += 500) {
      await produceKafka(server, messages.slice(from, from + 500));
    }
    const url = kafkaUrl(server, prefix);
    const source = JSON.stringify({ topic, type });
    // Small commits, so that there are many moments between one and the next.
    const program = `for (;;) await custody.consume(scope, ${source},
      { maxMessages: 20, onProgress: () => console.log("committed") });`;
    const reached: number[] = [];
    let seed = 7;
    for (let round = 0; round < 5; round += 1) {
      seed = (seed * 16_807) % 2_147_483_647;
      await runUntil(program, url, { lines: 2 + (seed % 12), afterMs: seed % 20 });
      await using custody = await openCustody({ ...place, engines: { stream: url } });
      reached.push(await positionIn(custody));
    }
    // The kills were in the midst of it.
    expect(reached).toEqual(reached.toSorted((left, right) => left - right));
    expect(reached.filter((position) => position > 0 && position < total).length).toBeGreaterThan(
      1,
    );
    await using custody = await openCustody({ ...place, engines: { stream: url } });
    const left = total - (await positionIn(custody));
    if (left > 0) await custody.consume(scope, { topic, type }, { maxMessages: left });
    expect(await positionIn(custody)).toBe(total);
    await custody.catchUp(scope);
    expect(await custody.count(scope, type)).toMatchObject({ count: 1_980 });
    expect(await custody.count(scope, "custody/rejected_inputs")).toMatchObject({ count: 20 });
    expect(await custody.verify(scope)).toMatchObject({ ok: true });
  }, 90_000);

  test("whoever tells events is killed again and again: every event is told, and first tellings are in order", async () => {
    const total = 6_000;
    {
      await using custody = await openCustody(place);
      for (let from = 0; from < total; from += 1_000) {
        const put = Array.from({ length: 1_000 }, (_, index) => ({ fields: fields(from + index) }));
        await custody.commit(scope, [{ type, put }]);
      }
    }
    const url = kafkaUrl(server, prefix);
    for (const afterMs of [30, 60, 90]) {
      await runUntil("setInterval(() => {}, 1000);", url, { lines: 1, afterMs });
    }
    await using custody = await openCustody({ ...place, engines: { stream: url } });
    await custody.catchUp(scope);
    const [topic = ""] = custody.events.topics().filter((name) => name.startsWith("redteam"));
    await using stream = await openKafkaStream({ url });
    const events = [];
    for (let after = "0"; ;) {
      const page = await stream.read(scope, topic, { after, limit: 10_000 });
      events.push(...page.filter(({ body }) => body.includes(type)));
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.offset;
    }
    const timeline = (await custody.status(scope)).timeline?.slice(0, 12);
    const first = [...new Set(events.map(({ eventId }) => eventId))];
    expect(first).toHaveLength(total);
    expect(first).toEqual(
      Array.from(
        { length: total },
        (_, n) => `acme:${timeline}:${Math.floor(n / 1_000) + 1}:${n % 1_000}`,
      ),
    );
  }, 90_000);
});
