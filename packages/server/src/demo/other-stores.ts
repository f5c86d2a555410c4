import { createHash } from "node:crypto";

import { asText } from "@custody/contract/value-expression";

import { formatNumber } from "../cli/output/quantity.ts";
import type { Demo } from "./import-evidence.ts";

/** The original of an imported file comes back with the hash that it had. */
export async function askBlobStore({ custody, scope, narrator }: Demo): Promise<void> {
  await narrator.say("\n  blob: Is the report still there as the tool wrote it?");
  const { records } = await custody.find(scope, "custody/source_files", {
    filter: { name: "helpdesk-release-2.report.jsonl" },
    limit: 1,
  });
  const { blob, sha256 } = records[0]?.fields ?? {};
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of (await custody.blob.get(scope, asText(blob))) ?? []) {
    hash.update(chunk);
    bytes += chunk.byteLength;
  }
  const opened = hash.digest("hex");
  await narrator.say(`    kept sealed as  ${asText(blob)}`);
  await narrator.say(`    SHA-256         ${opened}`);
  await narrator.check(
    `its ${formatNumber(bytes)} bytes, opened, have the hash that the import wrote down`,
    opened === sha256,
  );
}

/** What was committed is told on topics, in order. */
export async function askStream({ custody, scope, narrator }: Demo): Promise<void> {
  await narrator.say(
    "\n  stream: What was told to whoever listens? (a cursor over the journal: it stores no event)",
  );
  const topic = "redteam.sessions.recorded";
  const events = await custody.events.read(scope, topic, { limit: 1_000 });
  const last = events.at(-1);
  await narrator.say(`    last event on ${topic}: ${last?.body ?? "none"}`);
  await narrator.check(
    `${events.length} sessions were told, each once`,
    events.length > 0 && new Set(events.map(({ key }) => key)).size === events.length,
  );
}

const LEASE_MS = 60_000;

/** A task is done by one worker at a time. */
export async function askQueue({ custody, scope, narrator }: Demo): Promise<void> {
  await narrator.say("\n  queue: Who scans next?");
  const queue = await custody.queue();
  const payload = Buffer.from('{"target":"helpdesk"}');
  await queue.enqueue(scope, "scans", { id: "routine", payload });
  await queue.enqueue(scope, "scans", { id: "urgent", payload, priority: 9 });
  const first = await queue.claim(scope, "scans", { worker: "a", leaseMs: LEASE_MS });
  const second = await queue.claim(scope, "scans", { worker: "b", leaseMs: LEASE_MS });
  await narrator.say(`    worker a claims ${first?.id}, worker b claims ${second?.id}`);
  await narrator.check(
    "the urgent task goes first, and no task goes to two workers",
    first?.id === "urgent" && second?.id === "routine",
  );
  for (const task of [first, second]) if (task !== undefined) await queue.complete(scope, task);
}

/** The cache gives back what it was given, and counts uses. */
export async function askCache({ custody, scope, narrator }: Demo): Promise<void> {
  await narrator.say("\n  cache: What was just asked for?");
  const cache = await custody.cache();
  await cache.put(scope, "demo", Buffer.from("found"), { ttlMs: LEASE_MS });
  const hit = await cache.get(scope, "demo");
  const missed = await cache.get(scope, "never put");
  const rate = { limit: 1, windowMs: LEASE_MS };
  await cache.delete(scope, "demo");
  const uses = [await cache.acquire(scope, "rate", rate), await cache.acquire(scope, "rate", rate)];
  await narrator.check(
    "a hit, a miss, and of two uses within a limit of one the second is refused",
    Buffer.from(hit ?? []).toString() === "found" &&
      missed === undefined &&
      uses[0]?.isAllowed === true &&
      uses[1]?.isAllowed === false,
  );
}
