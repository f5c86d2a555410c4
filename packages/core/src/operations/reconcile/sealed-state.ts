import { timingSafeEqual } from "node:crypto";

import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { keyedHash } from "../../keys/keyed-hash.ts";
import type { KeyService } from "../../keys/key-service.ts";

/** What is written down and sealed with. */
export interface RememberingParts {
  readonly journal: JournalStore;
  readonly keys: KeyService;
}

const SEAL_DIGITS = 64;

/** Writes a value down under the tenant's seal, so that nobody else can put another in its place. */
export async function putSealed(
  parts: RememberingParts,
  scope: Scope,
  name: string,
  value: unknown,
): Promise<void> {
  const text = JSON.stringify(value);
  const seal = Buffer.from(await sealOf(parts, scope, name, text)).toString("hex");
  await parts.journal.putState(scope, name, `${seal}${text}`);
}

/** The value as it was written down; `undefined` where there is none, or it does not bear the seal. */
export async function readSealed(
  parts: RememberingParts,
  scope: Scope,
  name: string,
): Promise<unknown> {
  const stored = await parts.journal.state(scope, name);
  if (stored === undefined) return undefined;
  const text = stored.slice(SEAL_DIGITS);
  const given = Buffer.from(stored.slice(0, SEAL_DIGITS), "hex");
  const seal = await sealOf(parts, scope, name, text);
  if (given.byteLength !== seal.byteLength || !timingSafeEqual(given, seal)) return undefined;
  return JSON.parse(text) as unknown;
}

async function sealOf(
  { keys }: RememberingParts,
  scope: Scope,
  name: string,
  text: string,
): Promise<Uint8Array> {
  const key = await keys.hashKey(scope.tenant);
  return keyedHash(key, "reconciliation", `${name}\0${text}`);
}
