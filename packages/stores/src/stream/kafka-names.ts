import { hash } from "node:crypto";

import { checkTenant } from "@custody/contract/ids";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";

/** The longest name of a topic that Kafka takes (`Topic.MAX_NAME_LENGTH`). */
const NAME_LENGTH_MAX = 249;
const HASH_LENGTH = 32;
// No `_`, which Kafka takes for the same as `.`; nor what looks like a name that was hashed.
const PLAIN = /^[A-Za-z0-9.-]+$/;
const HASHED = /-x[0-9a-f]{32}$/;
const TOPIC_LENGTH_MAX = 120;

/**
 * The name under which a tenant's topic lies in Kafka: `<prefix>.<tenant>.<topic>`. A topic whose name
 * Kafka would not take, or would mistake for another, is named by what can be read of it and a hash.
 *
 * No two are the same: neither prefixes nor tenants hold a dot.
 */
export function physicalTopic(prefix: string, { tenant }: Scope, topic: string): string {
  return `${prefix}.${checkTenant(tenant)}.${encoded(checkTopic(topic))}`;
}

/** What every group of a tenant begins with; groups keep their names, so that tools show them. */
export function groupPrefix(prefix: string, { tenant }: Scope): string {
  return `${prefix}.${checkTenant(tenant)}.`;
}

/**
 * Checks the name of a topic that others write, as Kafka has it.
 *
 * @throws StoreError `refused` for Kafka's own topics, and for those that belong to another tenant.
 */
export function checkIntakeTopic(prefix: string, scope: Scope, topic: string): string {
  const own = groupPrefix(prefix, scope);
  const isForeign = topic.startsWith(`${prefix}.`) && !topic.startsWith(own);
  const isName = /^[A-Za-z0-9._-]{1,249}$/.test(topic) && topic !== "." && topic !== "..";
  if (isName && !isForeign && !topic.startsWith("__")) return topic;
  throw new StoreError(
    "refused",
    `not a topic to read evidence from: ${JSON.stringify(topic.slice(0, NAME_LENGTH_MAX))}`,
  );
}

function checkTopic(topic: string): string {
  if (topic.length > 0 && topic.isWellFormed()) return topic;
  throw new StoreError("refused", "a topic needs a name without lone surrogates");
}

function encoded(topic: string): string {
  if (PLAIN.test(topic) && !HASHED.test(topic) && topic.length <= TOPIC_LENGTH_MAX) return topic;
  const readable = topic
    .replaceAll(/[^A-Za-z0-9.-]+/g, "-")
    .slice(0, TOPIC_LENGTH_MAX - HASH_LENGTH);
  return `${readable}-x${hash("sha256", topic).slice(0, HASH_LENGTH)}`;
}
