import type { Scope } from "@custody/stores/scope";

/** On whose behalf the benchmark writes and reads. */
export const SCOPE: Scope = {
  tenant: "bench",
  actor: "service:bench",
  deadline: Number.POSITIVE_INFINITY,
};

/** The record type that is written. */
export const TYPE = "redteam/session_evidence";
