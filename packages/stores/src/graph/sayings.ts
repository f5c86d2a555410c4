import { canonicalJson, parseJson } from "@custody/contract/json";

import type { Saying } from "./graph-fold.ts";

/** The highest sequence that set one of a node's properties, 0 where none is set. */
export function highestSequence(said: ReadonlyMap<string, readonly Saying[]>): number {
  let highest = 0;
  for (const [latest] of said.values()) highest = Math.max(highest, latest?.[0] ?? 0);
  return highest;
}

/** Sayings as JSON; `null` when every property was said once, in one record: its column says it all. */
export function writeSayings(
  said: ReadonlyMap<string, readonly Saying[]>,
  sequence: number,
): string | null {
  const isPlain = [...said.values()].every(
    ([latest, ...earlier]) =>
      latest !== undefined && earlier.length === 0 && latest[2] === 1 && latest[0] === sequence,
  );
  return isPlain ? null : canonicalJson(Object.fromEntries(said));
}

/** Reads sayings back: from their JSON, or from the properties where there is none. */
export function readSayings(
  text: string | null,
  sequence: number,
  stored: Iterable<readonly [string, Saying[1]]>,
): Map<string, Saying[]> {
  if (text !== null) {
    return new Map(Object.entries(parseJson(text) as unknown as Record<string, Saying[]>));
  }
  const said = new Map<string, Saying[]>();
  for (const [name, value] of stored) {
    if (value !== null) said.set(name, [[sequence, value, 1]]);
  }
  return said;
}
