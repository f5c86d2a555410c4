import { closeSync, openSync, writeSync } from "node:fs";

import { randomSource } from "./random-source.ts";
import type { RandomSource } from "./random-source.ts";
import { makeVocabulary } from "./vocabulary.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A record of `redteam/session_evidence` as the generator makes it. */
export interface EvidenceRecord {
  readonly id: string;
  readonly session_id: string;
  readonly observed_at: string;
  readonly model: string;
  readonly probe: string;
  readonly scores: readonly EvidenceScore[];
  readonly vulnerability_ids: readonly string[];
  readonly labels: {
    readonly operator: string;
    readonly operation: string;
    readonly language: string;
  };
  readonly converters: readonly string[];
  readonly latency_ms: number;
  readonly tokens: number;
  readonly prompt: {
    readonly turns: readonly { readonly role: string; readonly content: string }[];
  };
  readonly response: { readonly content: string };
}

interface EvidenceScore {
  readonly scorer: string;
  readonly type: string;
  readonly value: boolean | number;
  readonly rationale: string;
}

// Whole records in bytes are log-normal: transcripts of real tools have a median near 2 KB and a
// long tail; sigma puts the 99th percentile at eight times the median.
const MEDIAN_BYTES = 2_048;
const SIGMA = Math.log(8) / 2.326;
const BYTES_MAX = 256 * 1024;
const SESSION_RECORDS = 200;
const FIRST_AT = Date.UTC(2026, 0, 5, 8);
const GAP_MS_MEAN = 60;

const MODEL_NAMES = ["aurora", "basalt", "cinder", "delta"];
const MODEL_KINDS = ["chat", "instruct", "code"];
const FAMILIES =
  "injection jailbreak leakage encoding toxicity malware persuasion hallucination".split(" ");
const CONVERTERS =
  "base64 rot13 leetspeak translation tense ascii_art unicode_confusable persuasion".split(" ");
const OPERATORS = ["amber", "cobalt", "ivory", "jade", "onyx", "umber"];
const LANGUAGES = ["en", "en", "en", "de", "fr", "es"];
const PROBES = 40;
const VULNERABILITIES = 300;
const VULNERABILITIES_A_PROBE = 24;

/** Endless evidence of red-team sessions, 200 records a session, in order of time. */
export function* evidenceRecords(seed: number): Generator<EvidenceRecord, never> {
  const random = randomSource(seed);
  const vocabulary = makeVocabulary(random);
  const lists = makeLists(random, vocabulary);
  let at = FIRST_AT;
  for (;;) {
    const session = {
      session_id: uuid(random, at, 4),
      model: random.pick(lists.models),
      labels: {
        operator: random.pick(OPERATORS),
        operation: `op-${padded(1 + random.below(60), 3)}`,
        language: random.pick(LANGUAGES),
      },
    };
    for (let made = 0; made < SESSION_RECORDS; made += 1) {
      at += random.below(2 * GAP_MS_MEAN + 1);
      yield makeRecord(session, at, lists, { random, vocabulary });
    }
  }
}

/** Writes so many records as JSON Lines; answers their bytes. A smaller file is a prefix of a larger one. */
export function writeEvidence(
  path: string,
  { records, seed }: { readonly records: number; readonly seed: number },
): number {
  const file = openSync(path, "w");
  let bytes = 0;
  let pending: string[] = [];
  const flush = (): void => {
    bytes += writeSync(file, `${pending.join("\n")}\n`);
    pending = [];
  };
  const source = evidenceRecords(seed);
  try {
    for (let made = 0; made < records; made += 1) {
      pending.push(JSON.stringify(source.next().value));
      if (pending.length === 1_000) flush();
    }
    if (pending.length > 0) flush();
  } finally {
    closeSync(file);
  }
  return bytes;
}

interface Lists {
  readonly models: readonly string[];
  readonly probes: readonly {
    readonly name: string;
    readonly vulnerabilities: readonly string[];
  }[];
}

function makeLists(random: RandomSource, { words }: Vocabulary): Lists {
  const models = Array.from({ length: 12 }, (_, index) => {
    const name = MODEL_NAMES[index % MODEL_NAMES.length] ?? "";
    return `${name}-${MODEL_KINDS[index % MODEL_KINDS.length] ?? ""}-${7 + 3 * index}b`;
  });
  const probes = Array.from({ length: PROBES }, (_, index) => ({
    name: `${FAMILIES[index % FAMILIES.length] ?? ""}.${words[1_000 + index * 37] ?? ""}`,
    vulnerabilities: Array.from(
      { length: VULNERABILITIES_A_PROBE },
      () => `VUL-${padded(1 + random.below(VULNERABILITIES), 3)}`,
    ),
  }));
  return { models, probes };
}

type Session = Pick<EvidenceRecord, "session_id" | "model" | "labels">;

function makeRecord(
  { session_id, model, labels }: Session,
  at: number,
  { probes }: Lists,
  { random, vocabulary }: { readonly random: RandomSource; readonly vocabulary: Vocabulary },
): EvidenceRecord {
  const probe = random.pick(probes);
  const wanted = Math.min(BYTES_MAX, MEDIAN_BYTES * Math.exp(SIGMA * random.normal()));
  const id = uuid(random, at, 7);
  const scores = makeScores(random, vocabulary);
  const vulnerability_ids = [
    ...new Set(Array.from({ length: random.below(4) }, () => random.pick(probe.vulnerabilities))),
  ];
  const converters = CONVERTERS.filter(() => random.uniform() < 0.15);
  const rest = { id, session_id, at, model, labels, vulnerability_ids, converters, scores };
  const textBytes = Math.max(120, wanted - JSON.stringify(rest).length - 280);
  const turns = 1 + random.below(3);
  return {
    id,
    session_id,
    observed_at: new Date(at).toISOString(),
    model,
    probe: probe.name,
    scores,
    vulnerability_ids,
    labels,
    converters,
    latency_ms: 200 + random.below(3_000),
    tokens: Math.round(textBytes / 4.2),
    prompt: {
      turns: Array.from({ length: turns }, (_, turn) => ({
        role: turn % 2 === 0 ? "user" : "assistant",
        content: vocabulary.text((0.4 * textBytes) / turns),
      })),
    },
    response: { content: vocabulary.text(0.6 * textBytes) },
  };
}

function makeScores(random: RandomSource, vocabulary: Vocabulary): readonly EvidenceScore[] {
  const rationale = (): string => vocabulary.text(40 + random.below(60));
  const share = (): number => random.below(10_000) / 10_000;
  const float = "float_scale";
  return [
    {
      scorer: "refusal",
      type: "true_false",
      value: random.uniform() < 0.7,
      rationale: rationale(),
    },
    { scorer: "harm_likert", type: float, value: share(), rationale: rationale() },
    { scorer: "policy_breach", type: float, value: share(), rationale: rationale() },
  ];
}

/** A UUID that begins with the instant, as version 7 does; sessions bear version 4. */
function uuid(random: RandomSource, at: number, version: number): string {
  const time = at.toString(16).padStart(12, "0");
  const variant = "89ab"[random.below(4)] ?? "8";
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}${random.hex(3)}-${variant}${random.hex(3)}-${random.hex(12)}`;
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}
