/** What a simulation must never see, by name. */
export type Invariant =
  | "acknowledged-is-kept"
  | "all-or-nothing"
  | "only-what-was-asked"
  | "expected-version-holds"
  | "unique-holds"
  | "refusal-has-a-reason"
  | "error-has-a-name"
  | "journal-verifies"
  | "sequences-are-gapless"
  | "store-holds-only-journal"
  | "checkpoint-tells-the-truth"
  | "read-is-of-some-instant"
  | "read-sees-its-write"
  | "projections-converge"
  | "quarantine-is-listed"
  | "events-are-told"
  | "lag-stays-alone"
  | "work-ends"
  | "nothing-piles-up"
  | "no-garbage-stays"
  | "backup-is-whole"
  | "restore-equals-history";

/** Thrown when an invariant does not hold. */
export class Violation extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, reason: string) {
    super(`${invariant}: ${reason.replaceAll(/x{9,}/g, "x…")}`);
    this.invariant = invariant;
  }
}

/** Checks an invariant. */
export function ensure(holds: boolean, invariant: Invariant, reason: () => string): void {
  if (!holds) throw new Violation(invariant, reason());
}
