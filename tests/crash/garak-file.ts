import { createHash } from "node:crypto";

/** A report of garak with so many attempts, whose ids no report of another name has. */
export function garakFile(name: string, attempts: number, words = 20): Uint8Array {
  const digits = createHash("sha256").update(name).digest("hex").slice(0, 8);
  const lines = Array.from({ length: attempts }, (_, index) =>
    JSON.stringify(attempt(digits, index, words)),
  );
  return Buffer.from(`${JSON.stringify(SETUP)}\n${lines.join("\n")}\n`);
}

const SETUP = {
  entry_type: "start_run setup",
  "_config.version": "0.14.0",
  "plugins.target_type": "test",
  "plugins.target_name": "Blank",
};

function attempt(digits: string, index: number, words: number): object {
  return {
    entry_type: "attempt",
    uuid: `${digits}-0000-4000-8000-${index.toString(16).padStart(12, "0")}`,
    seq: index,
    status: 2,
    probe_classname: "test.Blank",
    probe_params: {},
    targets: [],
    prompt: { turns: [{ role: "user", content: { text: `${index} ${"word ".repeat(words)}` } }] },
    outputs: [{ text: "no" }],
    detector_results: { "always.Pass": [0] },
    notes: {},
    goal: "test",
  };
}
