import type { ConsumeReport } from "@custody/core/stream/consume";
import type { Queue } from "@custody/stores/queue/port";
import type { StreamEvent } from "@custody/stores/stream/port";
import { expect, test } from "vitest";

import { runCommandLine } from "../command-line.ts";
import { composeWith } from "../testing/custody-double.ts";
import { recordedTerminal } from "../testing/recorded-terminal.ts";

type Answers = Parameters<typeof composeWith>[0];

async function run(
  words: readonly string[],
  answers: Answers = {},
): Promise<{ readonly exitCode: number; readonly output: string; readonly notes: string }> {
  const { terminal, output, notes } = recordedTerminal();
  const exitCode = await runCommandLine(words, terminal, composeWith(answers));
  return { exitCode, output: output(), notes: notes() };
}

const event: StreamEvent = {
  topic: "findings",
  key: "r\u001b1",
  eventId: "acme:0123456789ab:7:0",
  body: '{"id":"r1","sequence":7,"facts":{"big":9007199254740993}}',
  offset: "7.0",
};

test("events are printed one a line, their bodies as JSON, whole numbers unrounded", async () => {
  const asked: unknown[] = [];
  const events: Answers["events"] = {
    topics: () => ["findings", "scans"],
    read: async (_scope, ...call) => {
      asked.push(call);
      return [event, event];
    },
  };
  const read = await run(["events", "read", "findings", "--from", "6.2", "--json"], { events });
  const line =
    '{"topic":"findings","key":"r\\u001b1","eventId":"acme:0123456789ab:7:0","offset":"7.0","body":{"id":"r1","sequence":7,"facts":{"big":9007199254740993}}}\n';
  expect(read).toEqual({ exitCode: 0, output: line + line, notes: "" });
  expect(asked).toEqual([["findings", { after: "6.2", limit: 100 }]]);
  expect((await run(["events", "topics", "--json"], { events })).output).toBe(
    '["findings","scans"]\n',
  );
  expect((await run(["events", "read", "findings"], { events })).output).toContain("r\\u001b1");
});

test("a group polls and acknowledges", async () => {
  const asked: unknown[] = [];
  const events: Answers["events"] = {
    poll: async (_scope, ...call) => {
      asked.push(call);
      return [];
    },
    acknowledge: async (_scope, ...call) => {
      asked.push(call);
    },
  };
  const polled = await run(["events", "poll", "findings", "siem", "--limit", "5"], { events });
  expect(polled.output).toBe("there is no event\n");
  const told = await run(["events", "ack", "findings", "siem", "7.0", "--json"], { events });
  expect(told.output).toBe('{"topic":"findings","group":"siem","offset":"7.0"}\n');
  expect(asked).toEqual([
    ["findings", "siem", 5],
    ["findings", "siem", "7.0"],
  ]);
});

function queueOf(queue: Partial<Queue>): Answers {
  return { queue: async () => queue };
}

test("a queue's depth, its dead tasks with their payloads, and its schedules", async () => {
  const queue = queueOf({
    depth: async () => ({ due: 2, later: 1, claimed: 0, dead: 1 }),
    deadLetters: async (_scope, _queue, { limit, after }) => [
      { id: `${after} ${limit}`, payload: Buffer.from("{}"), attempts: 5, reason: "no", diedAt: 1 },
      { id: "b", payload: Uint8Array.of(0xff), attempts: 5, reason: "no", diedAt: 1 },
    ],
    tick: async () => 3,
  });
  const depth = await run(["queue", "depth", "scans", "--json"], queue);
  expect(depth.output).toBe('{"due":2,"later":1,"claimed":0,"dead":1}\n');
  const dead = await run(
    ["queue", "dead", "scans", "--from", "a", "--limit", "2", "--json"],
    queue,
  );
  expect(JSON.parse(dead.output)).toEqual([
    { id: "a 2", attempts: 5, reason: "no", diedAt: 1, payload: "{}" },
    { id: "b", attempts: 5, reason: "no", diedAt: 1, payloadBase64: "/w==" },
  ]);
  expect((await run(["queue", "tick", "--json"], queue)).output).toBe('{"added":3}\n');
});

test("a dead task is made due again; one that is not there exits with 1", async () => {
  const queue = queueOf({ revive: async (_scope, _queue, id) => id === "t1" });
  const revived = await run(["queue", "revive", "scans", "t1", "--json"], queue);
  expect(revived).toEqual({ exitCode: 0, output: '{"queue":"scans","id":"t1"}\n', notes: "" });
  const absent = await run(["queue", "revive", "scans", "t2", "--json"], queue);
  expect(absent.exitCode).toBe(1);
  expect(JSON.parse(absent.notes)).toMatchObject({ code: "not-found" });
});

test("a topic is consumed as a type, and an interrupt ends it with what was committed", async () => {
  const report: ConsumeReport = { messages: 9, records: 7, duplicates: 1, rejected: 1, lost: 0 };
  const asked: unknown[] = [];
  const { terminal, output, notes, interrupt } = recordedTerminal();
  const consume: NonNullable<Answers["consume"]> = async (_scope, source, options) => {
    asked.push(source, options?.maxMessages);
    interrupt();
    expect(options?.signal?.aborted).toBe(true);
    return report;
  };
  const words = ["consume", "falco", "--type", "redteam/hits", "--max", "9"];
  expect(await runCommandLine(words, terminal, composeWith({ consume }))).toBe(0);
  expect(asked).toEqual([{ topic: "falco", type: "redteam/hits" }, 9]);
  expect(output()).toContain("9 messages: 7 records, 1 record known already, 1 rejected of falco");
  expect(notes()).toContain("stopping; what was read is committed");
  const json = await run([...words, "--json"], { consume: async () => report });
  expect(JSON.parse(json.output)).toEqual(report);
});

test("a topic is not consumed without a type", async () => {
  const { exitCode, notes } = await run(["consume", "falco"]);
  expect(exitCode).toBe(2);
  expect(notes).toContain("--type");
});
