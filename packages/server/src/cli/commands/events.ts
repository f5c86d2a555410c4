import { parseJson } from "@custody/contract/json";
import type { StreamEvent } from "@custody/stores/stream/port";
import type { Command } from "commander";

import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { parseCount } from "../values/numbers-and-names.ts";

interface EventsArguments {
  readonly from?: string;
  readonly limit?: number;
}

type AckArguments = [topic: string, group: string, offset: string, options: object, Command];

const EVENTS_DEFAULT = 100;

/** Registers `events topics`, `events read`, `events poll` and `events ack`. */
export function addEventCommands(program: Command, context: CommandContext): void {
  const events = program
    .command("events")
    .description("what was committed, told by topic: ids and facts, no personal field");
  events
    .command("topics")
    .description("Lists the topics that record types are told on.")
    .action((_options, command: Command) =>
      withSession(context, command, async ({ custody, show }) => {
        const topics = custody.events.topics();
        await show(topics, () => topics.map((topic) => `${topic}\n`).join(""));
      }),
    );
  events
    .command("read <topic>")
    .description("Reads a topic, from its beginning or after an event; changes nothing.")
    .option("--from <offset>", "go on after this event")
    .option("--limit <n>", "events at most (100)", parseCount)
    .action((topic: string, options: EventsArguments, command: Command) =>
      withSession(context, command, async (session) => {
        const { from: after = "0", limit = EVENTS_DEFAULT } = options;
        const { custody, scope } = session;
        await showEvents(session, await custody.events.read(scope, topic, { after, limit }));
      }),
    );
  events
    .command("poll <topic> <group>")
    .description("Shows the events that a group has not acknowledged, and again until it does.")
    .option("--limit <n>", "events at most (100)", parseCount)
    .action((topic: string, group: string, options: EventsArguments, command: Command) =>
      withSession(context, command, async (session) => {
        const { custody, scope } = session;
        const { limit = EVENTS_DEFAULT } = options;
        await showEvents(session, await custody.events.poll(scope, topic, group, limit));
      }),
    );
  events
    .command("ack <topic> <group> <offset>")
    .description("Says that a group has dealt with everything up to an event.")
    .action((...[topic, group, offset, , command]: AckArguments) =>
      withSession(context, command, async ({ custody, scope, show }) => {
        await custody.events.acknowledge(scope, topic, group, offset);
        await show({ topic, group, offset }, () => visibleText(`${group} is at ${offset}`) + "\n");
      }),
    );
}

/** With `--json` one event a line. */
async function showEvents(session: Session, events: readonly StreamEvent[]): Promise<void> {
  const { show, settings, paint, terminal } = session;
  if (settings.isJson) {
    for (const { body, ...event } of events) {
      await show({ ...event, body: parseJson(body) }, () => "");
    }
    return;
  }
  await show(events, () => {
    if (events.length === 0) return "there is no event\n";
    return renderTable(
      ["offset", "record", "what"].map((title) => ({ title, isWhole: title !== "what" })),
      events.map(({ offset, key, body }) => [
        { text: offset, style: "name" },
        visibleText(key),
        { text: visibleText(body), style: "faint" },
      ]),
      { paint, width: terminal.columns, indent: 0 },
    );
  });
}
