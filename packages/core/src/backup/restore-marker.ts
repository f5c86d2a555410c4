import { SYSTEM_TENANT } from "@custody/contract/ids";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";

/** A restore under way: kept in the journal's store until it is finished, so that it can go on. */
export interface RestoreMarker {
  readonly backup: string;
  readonly repository: string;
  /** What was asked for, in words. */
  readonly asked: string;
  /** The timeline that it begins in every journal. */
  readonly timeline: string;
  readonly actor: string;
  /** Epoch milliseconds. */
  readonly startedAt: number;
}

const NAME = "restore";
const scope: Scope = {
  tenant: SYSTEM_TENANT,
  actor: "service:restore",
  deadline: Number.POSITIVE_INFINITY,
};

/** The restore that was begun into this place and is not finished. */
export async function readMarker(journal: JournalStore): Promise<RestoreMarker | undefined> {
  const text = await journal.state(scope, NAME);
  return text === undefined ? undefined : (JSON.parse(text) as RestoreMarker);
}

/** Says that a restore is under way, or with `undefined` that it is finished. */
export async function putMarker(
  journal: JournalStore,
  marker: RestoreMarker | undefined,
): Promise<void> {
  await journal.putState(scope, NAME, marker && JSON.stringify(marker));
}

/**
 * Refuses a journal into which a restore was begun and not finished: it holds a part of what was asked
 * for, and erasures and holds made since are not applied yet.
 *
 * @throws CoreError `failed` that says which restore to repeat.
 */
export async function requireRestored(journal: JournalStore): Promise<void> {
  const marker = await readMarker(journal);
  if (marker === undefined) return;
  throw new CoreError(
    "failed",
    `this place holds a half-finished restore of backup ${marker.backup} to ${marker.asked}: ` +
      "repeat the same `custody backup restore`, which goes on where it was, or empty the place",
  );
}
