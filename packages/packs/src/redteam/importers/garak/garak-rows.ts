import { hash } from "node:crypto";

import { uuidV7 } from "@custody/contract/ids";
import { canonicalJson } from "@custody/contract/json";

import {
  asFields,
  asList,
  defined,
  instantOf,
  numberOf,
  restOf,
  textOf,
  wholeOf,
} from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import type { GarakRun } from "./garak-run.ts";
import { readMessage, readPrompt } from "./messages.ts";

const ATTEMPT = new Set(
  "entry_type uuid seq status probe_classname prompt outputs detector_results notes goal".split(
    " ",
  ),
);
const EVALUATION = new Set(
  "entry_type probe detector passed fails nones total_evaluated total_processed confidence_lower confidence_upper".split(
    " ",
  ),
);
const HIT = new Set(
  "goal prompt output triggers score run_id attempt_id attempt_seq attempt_idx generator probe detector generations_per_prompt".split(
    " ",
  ),
);

/**
 * Names an attempt by what stays the same when its row is written again once it is judged: its uuid
 * and prompt. Rows without a uuid (garak's own test files) are told apart by their outputs too.
 */
export function attemptKey(sessionId: string, row: Fields): string {
  const uuid = textOf(row["uuid"]);
  const parts = [sessionId, uuid ?? null, row["seq"] ?? null, row["probe_classname"] ?? null];
  const rest =
    uuid === undefined ? [row["prompt"] ?? null, row["outputs"] ?? null] : [row["prompt"] ?? null];
  return hash("sha256", canonicalJson([...parts, ...rest]), "hex");
}

/** An attempt as session evidence; its id begins with the run's start, so that ids stay in order. */
export function evidenceOf(run: GarakRun, key: string, row: Fields): Fields {
  const probe = textOf(row["probe_classname"]);
  const scores = scoresOf(row["detector_results"], run.threshold);
  const isHit = scores.some((score) => score["is_hit"] === true);
  const vulnerability = probe === undefined ? [] : [`garak:${probe}`];
  const outputs = asList(row["outputs"]);
  const notes = asFields(row["notes"]);
  const hasNotes = notes !== undefined && Object.keys(notes).length > 0;
  const startedAt = run.startedAt;
  return defined({
    id: uuidV7(startedAt === undefined ? 0 : Date.parse(startedAt), Buffer.from(key, "hex")),
    session_id: run.sessionId,
    observed_at: startedAt,
    model: run.model,
    probe,
    scores,
    vulnerability_ids: isHit ? vulnerability : [],
    tested_vulnerability_ids: vulnerability,
    labels: run.labels,
    converters: [],
    prompt: readPrompt(row["prompt"]),
    response: outputs.length === 0 ? undefined : readMessage(outputs[0]),
    further_responses: outputs.length < 2 ? undefined : outputs.slice(1).map(readMessage),
    goal: textOf(row["goal"]),
    status: wholeOf(row["status"]),
    attempt_id: textOf(row["uuid"]),
    attempt_seq: wholeOf(row["seq"]),
    notes: hasNotes ? notes : undefined,
    details: attemptDetails(row, notes === undefined),
  });
}

/** What the mapping has no field for, with members of unexpected shape. */
function attemptDetails(row: Fields, isNotesOdd: boolean): Fields | undefined {
  const odd: Record<string, unknown> = { ...restOf(row, ATTEMPT) };
  if (isNotesOdd && row["notes"] !== undefined && row["notes"] !== null)
    odd["notes"] = row["notes"];
  const results = oddResults(row["detector_results"]);
  if (results !== undefined) odd["detector_results"] = results;
  const outputs = row["outputs"];
  if (outputs !== undefined && outputs !== null && !Array.isArray(outputs))
    odd["outputs"] = outputs;
  return Object.keys(odd).length === 0 ? undefined : odd;
}

function scoresOf(results: unknown, threshold: number): Fields[] {
  const scores: Fields[] = [];
  for (const [scorer, values] of Object.entries(asFields(results) ?? {})) {
    for (const [output, value] of asList(values).entries()) {
      if (!isScore(value)) continue;
      const number = typeof value === "boolean" ? Number(value) : numberOf(value);
      scores.push({
        scorer,
        type: typeof value === "boolean" ? "true_false" : "float_scale",
        value,
        output,
        is_hit: number !== undefined && number >= threshold,
      });
    }
  }
  return scores;
}

function isScore(value: unknown): boolean {
  return value === null || ["number", "boolean", "string"].includes(typeof value);
}

/** Detector results that are no list of scores. */
function oddResults(results: unknown): unknown {
  if (results === undefined || results === null) return undefined;
  const fields = asFields(results);
  if (fields === undefined) return results;
  const odd = Object.entries(fields).filter(
    ([, values]) => !Array.isArray(values) || values.length === 0 || !values.every(isScore),
  );
  return odd.length === 0 ? undefined : Object.fromEntries(odd);
}

/** An `eval` row. Versions to 0.12 write `total` for what later is `total_evaluated`. */
export function evaluationOf(run: GarakRun, row: Fields): Fields {
  const passed = numberOf(row["passed"]);
  const total = numberOf(row["total_evaluated"]) ?? numberOf(row["total"]);
  const isRated = passed !== undefined && total !== undefined && total > 0;
  return defined({
    session_id: run.sessionId,
    observed_at: run.startedAt,
    model: run.model,
    probe: textOf(row["probe"]) ?? "",
    detector: textOf(row["detector"]) ?? "",
    passed,
    fails: numberOf(row["fails"]),
    nones: numberOf(row["nones"]),
    total_evaluated: total,
    total_processed: numberOf(row["total_processed"]),
    attack_success_rate: isRated ? (total - passed) / total : undefined,
    confidence_lower: numberOf(row["confidence_lower"]),
    confidence_upper: numberOf(row["confidence_upper"]),
    details: restOf(row, EVALUATION),
  });
}

/** A row of a hit log. */
export function hitOf(run: GarakRun, row: Fields): Fields {
  const probe = textOf(row["probe"]);
  const triggers = row["triggers"];
  return defined({
    session_id: textOf(row["run_id"]) ?? run.sessionId,
    attempt_id: textOf(row["attempt_id"]) ?? `sha256:${hash("sha256", canonicalJson(row), "hex")}`,
    attempt_seq: wholeOf(row["attempt_seq"]),
    attempt_idx: wholeOf(row["attempt_idx"]),
    model: generatorOf(row["generator"]) ?? run.model,
    probe,
    detector: textOf(row["detector"]),
    score: isScore(row["score"]) ? row["score"] : undefined,
    goal: textOf(row["goal"]),
    triggers: Array.isArray(triggers) && triggers.length > 0 ? triggers : undefined,
    generations_per_prompt: numberOf(row["generations_per_prompt"]),
    vulnerability_ids: probe === undefined ? [] : [`garak:${probe}`],
    prompt: readPrompt(row["prompt"]),
    response: readMessage(row["output"]),
    details: hitDetails(row),
  });
}

/** Python's None stands where a target has no name; the report leaves it out. */
function generatorOf(generator: unknown): string | undefined {
  return textOf(textOf(generator)?.replace(/ None$/, ""));
}

function hitDetails(row: Fields): Fields | undefined {
  const odd: Record<string, unknown> = { ...restOf(row, HIT) };
  const triggers = row["triggers"];
  if (triggers !== undefined && triggers !== null && !Array.isArray(triggers)) {
    odd["triggers"] = triggers;
  }
  return Object.keys(odd).length === 0 ? undefined : odd;
}

/** Any other entry, kept whole. */
export function entryOf(run: GarakRun, entryType: string, row: Fields): Fields {
  const runUuid = textOf(asFields(row["meta"])?.["run_uuid"]);
  return defined({
    session_id: runUuid ?? run.sessionId,
    entry_type: entryType,
    fingerprint: hash("sha256", canonicalJson(row), "hex"),
    observed_at: run.startedAt ?? instantOf(asFields(row["meta"])?.["start_time"]),
    content: row,
  });
}
