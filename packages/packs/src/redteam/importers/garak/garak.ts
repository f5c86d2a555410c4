import { ImportError } from "@custody/contract/importer";
import type {
  ImportContext,
  Importer,
  ImportRow,
  Source,
  SourceHead,
} from "@custody/contract/importer";

import { asFields, textOf } from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";
import { KeySet } from "../../../key-set.ts";
import { parseJsonLine } from "../../../reading/json-line.ts";
import { GarakRun } from "./garak-run.ts";
import { attemptKey, entryOf, evaluationOf, evidenceOf, hitOf } from "./garak-rows.ts";
import { HeldAttempts } from "./held-attempts.ts";

const ENTRY =
  /^\s*\{\s*"entry_type"\s*:\s*"(?:start_run setup|init|config|attempt|eval|digest|plugin_cache|payload_init|probe_summary|completion)"/;
const HIT_MEMBERS = ["probe", "detector", "prompt", "output"];
// garak: 0 new, 1 answered, 2 judged (garak/attempt.py).
const JUDGED = 2;

/** Reads what garak writes: the report, the hit log, and the digest as a file of its own. */
export const garak: Importer = {
  name: "garak",
  version: 1,
  title: "garak report or hit log as JSON Lines, or its digest as JSON",
  types: [
    "redteam/session_evidence",
    "redteam/test_sessions",
    "redteam/evaluations",
    "redteam/hits",
    "redteam/session_entries",
  ],

  detect(head) {
    if (ENTRY.test(head.text)) return 0.95;
    const first = firstObject(head);
    if (first === undefined) return looksLikeHit(head.text) ? 0.6 : 0;
    if (typeof first["entry_type"] === "string") return 0.8;
    return isHit(first) ? 0.9 : 0;
  },

  async *read(source, context) {
    using reader = new GarakReader(context);
    if (isDocument(source.head)) yield* readDocument(source, reader);
    else yield* readRows(source, reader, context.isLenient);
    yield* reader.end();
  },
};

/** A document over several lines can only be a digest; a report has a whole object on each line. */
function isDocument({ text, isWhole }: SourceHead): boolean {
  const first = text.trimStart().split("\n", 1)[0] ?? "";
  if (!text.includes("\n") && !isWhole) return false;
  return (
    asObject(first) === undefined && /^\{\s*("entry_type"\s*:\s*"digest"[^]*)?$/.test(first.trim())
  );
}

async function* readDocument(source: Source, reader: GarakReader): AsyncGenerator<ImportRow> {
  for await (const { value, pointer } of source.json([""])) {
    const row = asFields(value);
    if (row === undefined) refuse("the document is no garak digest", pointer);
    yield* reader.take(row, { line: 1, text: "" });
  }
}

async function* readRows(
  source: Source,
  reader: GarakReader,
  isLenient: boolean,
): AsyncGenerator<ImportRow> {
  for await (const { number, text } of source.lines()) {
    if (text.trim() === "") continue;
    const row = asObject(text);
    if (row !== undefined && isKnown(row)) {
      yield* reader.take(row, { line: number, text });
      continue;
    }
    const reason =
      row === undefined ? "the line is no JSON object" : "neither a report entry nor a hit";
    if (!isLenient) refuse(reason, `line ${number}`);
    yield { kind: "rejected", at: `line ${number}`, reason, text };
  }
}

/** Turns entries into rows, holding back attempts until they are judged or the report ends. */
class GarakReader implements Disposable {
  readonly #context: ImportContext;
  readonly #held = new HeldAttempts();
  readonly #judged = new KeySet();
  /** How often a row without a uuid was seen in each state: equal rows are attempts of their own. */
  readonly #occurrences = new Map<string, number>();
  #run: GarakRun;
  #isToolTold = false;

  constructor(context: ImportContext) {
    this.#context = context;
    this.#run = new GarakRun(context);
  }

  *take(row: Fields, { line, text }: { line: number; text: string }): Generator<ImportRow> {
    const at = `line ${line}`;
    const entryType = textOf(row["entry_type"]);
    if (entryType === undefined) {
      yield record("hits", hitOf(this.#run, row), at);
    } else if (entryType === "attempt") {
      yield* this.#attempt(row, { line, text });
    } else if (entryType === "eval") {
      this.#run.evaluations += 1;
      yield record("evaluations", evaluationOf(this.#run, row), at);
    } else {
      if (entryType === "start_run setup" && this.#run.isOther(row)) yield* this.#endRun();
      if (!this.#run.take(entryType, row)) {
        yield record("session_entries", entryOf(this.#run, entryType, row), at);
      }
      yield* this.#tellTool();
    }
  }

  /** The attempts that were never judged, and the session. */
  *end(): Generator<ImportRow> {
    yield* this.#endRun();
  }

  [Symbol.dispose](): void {
    this.#held[Symbol.dispose]();
  }

  *#attempt(row: Fields, held: { line: number; text: string }): Generator<ImportRow> {
    const status = row["status"];
    const isJudged = typeof status !== "number" || status >= JUDGED;
    const key = this.#occurrence(attemptKey(this.#run.sessionId, row), row, isJudged);
    if (!isJudged) {
      if (!this.#judged.has(key)) this.#held.hold(key, held);
      return;
    }
    if (!this.#held.release(key)) this.#judged.add(key);
    this.#run.attempts += 1;
    yield record("session_evidence", evidenceOf(this.#run, key, row), `line ${held.line}`);
  }

  #occurrence(key: string, row: Fields, isJudged: boolean): string {
    if (textOf(row["uuid"]) !== undefined) return key;
    const state = `${isJudged ? "judged" : "open"} ${key}`;
    const count = this.#occurrences.get(state) ?? 0;
    this.#occurrences.set(state, count + 1);
    return count === 0 ? key : attemptKey(key, { seq: count });
  }

  *#endRun(): Generator<ImportRow> {
    for (const [key, { line, text }] of this.#held.drain()) {
      const row = asObject(text);
      if (row === undefined) continue;
      this.#run.attempts += 1;
      yield record("session_evidence", evidenceOf(this.#run, key, row), `line ${line}`);
    }
    const session = this.#run.record();
    if (session !== undefined) yield record("test_sessions", session, "line 1");
    this.#run = new GarakRun(this.#context);
  }

  *#tellTool(): Generator<ImportRow> {
    const { version } = this.#run;
    if (this.#isToolTold || version === undefined) return;
    this.#isToolTold = true;
    yield { kind: "tool", name: "garak", version };
  }
}

function record(type: string, fields: Fields, at: string): ImportRow {
  return { kind: "record", type: `redteam/${type}`, fields, at };
}

function asObject(text: string): Fields | undefined {
  return asFields(parseJsonLine(text));
}

function firstObject({ text, isWhole }: SourceHead): Fields | undefined {
  const [first = "", ...rest] = text.trimStart().split("\n");
  if (rest.length === 0 && !isWhole) return undefined;
  return asObject(first) ?? (isWhole ? asObject(text) : undefined);
}

function isHit(row: Fields): boolean {
  return HIT_MEMBERS.every((name) => Object.hasOwn(row, name));
}

function isKnown(row: Fields): boolean {
  return typeof row["entry_type"] === "string" || isHit(row);
}

/** For a first line that is longer than the head. */
function looksLikeHit(text: string): boolean {
  return /^\s*\{\s*"goal"\s*:/.test(text) && /"prompt"\s*:/.test(text);
}

function refuse(reason: string, at: string): never {
  throw new ImportError("malformed", `not a garak file: ${reason} (${at})`, { at });
}
