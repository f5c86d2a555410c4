import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { StoreError } from "../errors.ts";
import { runUntilKilled } from "../testing/killed-child.ts";
import { scopeFor } from "../testing/scope.ts";
import type { EventStream, NewEvent, StreamEvent } from "./port.ts";

/** What an engine's test hands to the suite. */
export interface StreamFixture extends AsyncDisposable {
  readonly stream: EventStream;
  /** Brings events into the stream: publishes them, or commits them where the stream is a cursor. */
  tell(tenant: string, events: readonly NewEvent[]): Promise<void>;
  /** Closes the stream and opens it again on the same data. */
  reopen(): Promise<EventStream>;
  /** A JavaScript expression that a child process awaits to get a stream with the events told so far. */
  childStream(): string;
}

const scope = scopeFor("tenant-a");
const other = scopeFor("tenant-b");

function event(number: number, options: Partial<NewEvent> = {}): NewEvent {
  const body = `{"n":${number}}`;
  return {
    topic: "t",
    key: `k${number % 3}`,
    eventId: `a:0123456789ab:${number}:0`,
    body,
    ...options,
  };
}

const events = (from: number, to: number): NewEvent[] =>
  Array.from({ length: to - from + 1 }, (_, index) => event(from + index));

/** The numbers of events, in the order in which each key's came. */
function numbers(found: readonly StreamEvent[]): number[] {
  return found.map(({ body }) => (JSON.parse(body) as { n: number }).n);
}

/** Numbers ascending: order is promised within a key only. */
function sorted(found: readonly StreamEvent[]): number[] {
  return numbers(found).sort((left, right) => left - right);
}

interface Current {
  stream: EventStream;
  fixture: StreamFixture;
}

/** The contract of every stream engine. An engine is done when this passes unedited. */
export function describeStream(engine: string, open: () => Promise<StreamFixture>): void {
  describe(`stream: ${engine}`, () => {
    const current = {} as Current;
    beforeEach(async () => {
      current.fixture = await open();
      current.stream = current.fixture.stream;
    });
    afterEach(() => current.fixture[Symbol.asyncDispose]());

    describeReading(current);
    describeIntake(current);
    describeGroups(current);
    describeBounds(current);
    describeReopening(current);
  });
}

function describeReading(current: Current): void {
  test("events are read as they were told, in order for each key", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 9));
    const found = await stream.read(scope, "t", { after: "0", limit: 100 });
    expect(found).toHaveLength(9);
    for (const told of events(1, 9)) expect(found).toContainEqual(expect.objectContaining(told));
    for (const key of ["k0", "k1", "k2"]) {
      const ofKey = found.filter((one) => one.key === key);
      expect(numbers(ofKey)).toEqual(sorted(ofKey));
    }
  });

  test("pages, each after the last offset of the one before, tell every event", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 10));
    const found: StreamEvent[] = [];
    let after = "0";
    for (;;) {
      const page = await stream.read(scope, "t", { after, limit: 3 });
      expect(page.length).toBeLessThanOrEqual(3);
      found.push(...page);
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.offset;
    }
    expect(sorted(found)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    await fixture.tell("tenant-a", events(11, 12));
    const more = await stream.read(scope, "t", { after, limit: 100 });
    expect(sorted(more)).toEqual([11, 12]);
  });

  test("a topic or a tenant of which nothing was told is empty", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 2));
    const options = { after: "0", limit: 10 };
    expect(await stream.read(scope, "other", options)).toEqual([]);
    expect(await stream.read(other, "t", options)).toEqual([]);
    expect(await stream.poll(other, "t", "g", 10)).toEqual([]);
    expect(await stream.groups(other, "t")).toEqual([]);
  });

  test("topics are read apart", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", [event(1), event(2, { topic: "u" }), event(3)]);
    const options = { after: "0", limit: 10 };
    expect(sorted(await stream.read(scope, "t", options))).toEqual([1, 3]);
    expect(sorted(await stream.read(scope, "u", options))).toEqual([2]);
  });

  test("keys and bodies are kept exactly", async () => {
    const { fixture, stream } = current;
    const strange = "zażółć 漢字 😀 \\u0000 ' \" ` $where __proto__";
    const body = JSON.stringify({ n: 1, big: "9007199254740993", strange });
    await fixture.tell("tenant-a", [event(1, { key: strange, body })]);
    const [found] = await stream.read(scope, "t", { after: "0", limit: 1 });
    expect(found).toMatchObject({ key: strange, body });
  });

  test("publishing is done or refused, as the stream declares", async () => {
    const { stream } = current;
    const { isJournalCursor } = stream.capabilities;
    const outcome = await stream.publish(scope, [event(1)]).then(
      () => "told",
      (cause: unknown) => (cause as StoreError).code,
    );
    expect(outcome).toBe(isJournalCursor ? "unsupported" : "told");
  });
}

/** What an engine takes in is proven beside it; here, that it says so when it takes nothing. */
function describeIntake(current: Current): void {
  test("without an intake, reading evidence is refused as unsupported; with one, so is a topic that is not there", async () => {
    const { stream } = current;
    const code = stream.capabilities.hasIntake ? "refused" : "unsupported";
    const request = { positions: [], messagesMax: 1, bytesMax: 1_000, waitMs: 0 };
    await expect(stream.partitions(scope, "nobody.made.this")).rejects.toMatchObject({ code });
    await expect(stream.fetch(scope, "nobody.made.this", request)).rejects.toMatchObject({ code });
  });
}

function describeGroups(current: Current): void {
  const poll = async (group: string, limit = 100): Promise<number[]> =>
    sorted(await current.stream.poll(scope, "t", group, limit));

  test("a group that never acknowledged begins at the beginning, and again", async () => {
    await current.fixture.tell("tenant-a", events(1, 3));
    expect(await poll("g")).toEqual([1, 2, 3]);
    expect(await poll("g")).toEqual([1, 2, 3]);
    expect(await current.stream.groups(scope, "t")).toEqual([]);
  });

  test("groups go on after what they acknowledged, each by itself", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 6));
    const page = await stream.poll(scope, "t", "g", 4);
    await stream.acknowledge(scope, "t", "g", page.at(-1)?.offset ?? "");
    const rest = await stream.poll(scope, "t", "g", 100);
    expect(sorted([...page, ...rest])).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await poll("h")).toEqual([1, 2, 3, 4, 5, 6]);
    await stream.acknowledge(scope, "t", "g", rest.at(-1)?.offset ?? "");
    expect(await poll("g")).toEqual([]);
    await fixture.tell("tenant-a", events(7, 7));
    expect(await poll("g")).toEqual([7]);
  });

  test("an older acknowledgement changes nothing, also when offsets grow by a digit", async () => {
    const { fixture, stream } = current;
    await fixture.tell(
      "tenant-a",
      Array.from({ length: 120 }, (_, index) => event(index + 1, { key: "k" })),
    );
    const found = await stream.read(scope, "t", { after: "0", limit: 200 });
    const offset = (index: number): string => found[index]?.offset ?? "";
    await stream.acknowledge(scope, "t", "g", offset(99));
    for (const older of [98, 10, 8, 0]) await stream.acknowledge(scope, "t", "g", offset(older));
    await stream.acknowledge(scope, "t", "g", "0");
    expect((await poll("g"))[0]).toBe(101);
    expect(await stream.groups(scope, "t")).toEqual([{ group: "g", offset: offset(99) }]);
  });

  test("a group may be moved back and forth", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 4));
    const found = await stream.read(scope, "t", { after: "0", limit: 10 });
    await stream.seek(scope, "t", "g", found[2]?.offset ?? "");
    expect(await poll("g")).toHaveLength(1);
    await stream.seek(scope, "t", "g", "0");
    expect(await poll("g")).toEqual([1, 2, 3, 4]);
  });

  test("groups of one topic and tenant are listed by name", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", [event(1), event(2, { topic: "u" })]);
    const [first] = await stream.read(scope, "t", { after: "0", limit: 1 });
    for (const group of ["b", "a", "'; --", "漢字"]) {
      await stream.acknowledge(scope, "t", group, first?.offset ?? "");
    }
    await stream.acknowledge(other, "t", "elsewhere", first?.offset ?? "");
    const listed = await stream.groups(scope, "t");
    expect(listed.map(({ group }) => group)).toEqual(["'; --", "a", "b", "漢字"]);
    expect(await stream.groups(scope, "u")).toEqual([]);
  });
}

function describeBounds(current: Current): void {
  const refused = { name: "StoreError", code: "refused" };

  test("a page and a group's name at the limit are taken, one over is refused", async () => {
    const { stream } = current;
    const { pageMax, groupLengthMax } = stream.limits;
    const group = "g".repeat(groupLengthMax);
    expect(await stream.poll(scope, "t", group, pageMax)).toEqual([]);
    const limit = { name: "StoreError", code: "limit" };
    await expect(stream.poll(scope, "t", "g", pageMax + 1)).rejects.toMatchObject(limit);
    await expect(stream.poll(scope, "t", `${group}g`, 1)).rejects.toMatchObject(limit);
    await expect(stream.read(scope, "t", { after: "0", limit: pageMax + 1 })).rejects.toMatchObject(
      limit,
    );
    await expect(stream.acknowledge(scope, "t", `${group}g`, "0")).rejects.toMatchObject(limit);
  });

  test("what is no page, group or offset is refused", async () => {
    const { stream } = current;
    for (const limit of [0, -1, 1.5, Number.NaN]) {
      await expect(stream.read(scope, "t", { after: "0", limit })).rejects.toMatchObject(refused);
    }
    for (const group of ["", "a\0b", "\ud800"]) {
      await expect(stream.poll(scope, "t", group, 1)).rejects.toMatchObject(refused);
    }
    for (const offset of ["", "x", "-1", "1 OR 1", "1.", "\0"]) {
      await expect(stream.read(scope, "t", { after: offset, limit: 1 })).rejects.toMatchObject(
        refused,
      );
      await expect(stream.acknowledge(scope, "t", "g", offset)).rejects.toMatchObject(refused);
      await expect(stream.seek(scope, "t", "g", offset)).rejects.toMatchObject(refused);
    }
    const malformed = scopeFor("../tenant-a");
    await expect(stream.read(malformed, "t", { after: "0", limit: 1 })).rejects.toMatchObject({
      code: "invalid-id",
    });
  });
}

function describeReopening(current: Current): void {
  test("what groups acknowledged is there after reopening", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 3));
    const [first] = await stream.poll(scope, "t", "g", 1);
    await stream.acknowledge(scope, "t", "g", first?.offset ?? "");
    const reopened = await fixture.reopen();
    expect(await reopened.poll(scope, "t", "g", 10)).toHaveLength(2);
  });

  test("a reader that is killed goes on after its last acknowledgement", async () => {
    const { fixture, stream } = current;
    await fixture.tell("tenant-a", events(1, 500));
    await stream[Symbol.asyncDispose]();
    const printed = await runUntilKilled(
      `const stream = await (${fixture.childStream()});
      const scope = { tenant: "tenant-a", actor: "test", deadline: Infinity };
      for (;;) {
        const [event] = await stream.poll(scope, "t", "g", 1);
        if (event === undefined) break;
        await stream.acknowledge(scope, "t", "g", event.offset);
        process.stdout.write(event.body + "\\n");
      }
      setInterval(() => {}, 1000);`,
      50,
    );
    const reopened = await fixture.reopen();
    const rest = await reopened.poll(scope, "t", "g", 1_000);
    // One acknowledgement may be in the store without its line.
    expect(rest.length - (500 - printed.length)).toBeOneOf([-1, 0]);
    const dealtWith = printed.map((line) => (JSON.parse(line) as { n: number }).n);
    expect(numbers(rest).filter((number) => dealtWith.includes(number))).toEqual([]);
  });
}
