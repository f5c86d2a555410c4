import { canonicalJson } from "@custody/contract/json";

import type { LiveState } from "./history.ts";
import type { ReadAnswer } from "./model.ts";
import { ensure } from "./violation.ts";

/** Each answer must be what was live at an instant between asking, or what was asked to be seen, and answering. */
export function checkReads(states: readonly LiveState[], reads: readonly ReadAnswer[]): void {
  for (const read of reads) {
    const { from, to, type, id, step, found } = read;
    const last = Math.min(to, states.length - 1);
    let isKnown = false;
    for (let sequence = from; sequence <= last && !isKnown; sequence += 1)
      isKnown = isSame(states[sequence], read);
    ensure(isKnown, read.invariant, () => {
      const seen = found === undefined ? "nothing" : `version ${found.version}`;
      return `step ${step} found ${seen} of ${type} ${id} between ${from} and ${to}`;
    });
  }
}

function isSame(state: LiveState | undefined, { type, id, found }: ReadAnswer): boolean {
  const live = state?.get(type)?.get(id);
  if (live === undefined || found === undefined) return live === undefined && found === undefined;
  return (
    live.sequence === found.version &&
    live.json === canonicalJson(withoutEdition(found.fields, live.fields))
  );
}

/** A later edition says of older records what they were; that is no content of theirs. */
function withoutEdition(
  fields: Readonly<Record<string, unknown>>,
  stored: Readonly<Record<string, unknown>> | undefined,
): Readonly<Record<string, unknown>> {
  if (fields["edition"] !== 1 || stored === undefined || "edition" in stored) return fields;
  const { edition: _, ...rest } = fields;
  return rest;
}
