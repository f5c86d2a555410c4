import type { JournalAppend, JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

/** Appends entries that are worked out already, in one transaction: all of them are durable, or none is there. */
export async function appendEntries(
  journal: JournalStore,
  scope: Scope,
  appends: readonly JournalAppend[],
): Promise<void> {
  const transaction = await journal.begin(scope);
  try {
    for (const append of appends) await transaction.append(append);
    await transaction.commit();
  } catch (cause) {
    await transaction.rollback().catch(() => undefined);
    throw cause;
  }
}
