import type { ImportContext } from "@custody/contract/importer";

import { defined, instantOf, numberOf, textOf } from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";

// garak's own default (`run.eval_threshold`, garak.core.yaml): a score at or above it is a hit.
const THRESHOLD_DEFAULT = 0.5;

/** The parts of a report's frame that a session record keeps, by entry type. */
const FRAME: Readonly<Record<string, "setup" | "config" | "init" | "completion">> = {
  "start_run setup": "setup",
  config: "config",
  init: "init",
  completion: "completion",
  completed: "completion",
};

/** What a report has said so far about the run it is of. */
export class GarakRun {
  readonly #context: ImportContext;
  readonly #frame = new Map<string, Fields>();
  #runId: string | undefined;
  #model: string | undefined;
  attempts = 0;
  evaluations = 0;

  constructor(context: ImportContext) {
    this.#context = context;
  }

  /** The run's own id; else the session the user named, else the file itself. */
  get sessionId(): string {
    return this.#runId ?? this.#context.labels["session"] ?? `sha256:${this.#context.sha256}`;
  }

  /** The target as garak's hit log names it: its type and name. */
  get model(): string | undefined {
    return this.#model ?? this.#context.labels["model"] ?? this.#context.labels["target"];
  }

  get version(): string | undefined {
    return textOf(this.#value("garak_version", "_config.version"));
  }

  get startedAt(): string | undefined {
    return instantOf(this.#value("start_time", "transient.starttime_iso"));
  }

  get threshold(): number {
    return numberOf(this.#value("run.eval_threshold")) ?? THRESHOLD_DEFAULT;
  }

  get labels(): Fields {
    return { ...this.#context.labels };
  }

  /** Whether an entry begins a run other than the one at hand. */
  isOther(entry: Fields): boolean {
    const id = runId(entry);
    return (
      this.#frame.size > 0 && id !== undefined && this.#runId !== undefined && id !== this.#runId
    );
  }

  /** Takes an entry of the frame; false when it is none, or a second one of its kind. */
  take(entryType: string, entry: Fields): boolean {
    const part = FRAME[entryType];
    if (part === undefined || this.#frame.has(part)) return false;
    this.#frame.set(part, entry);
    this.#runId ??= runId(entry);
    const type = textOf(this.#value("plugins.target_type", "plugins.model_type"));
    const name = textOf(this.#value("plugins.target_name", "plugins.model_name"));
    const parts = [type, name].filter((one) => one !== undefined);
    this.#model = parts.length === 0 ? undefined : parts.join(" ");
    return true;
  }

  /** The session's record, or `undefined` when the report has no frame. */
  record(): Fields | undefined {
    if (this.#frame.size === 0) return undefined;
    const completion = this.#frame.get("completion");
    return defined({
      session_id: this.sessionId,
      tool: "garak",
      tool_version: this.version,
      model: this.model,
      target_type: textOf(this.#value("plugins.target_type", "plugins.model_type")),
      target_name: textOf(this.#value("plugins.target_name", "plugins.model_name")),
      probe_spec: textOf(this.#value("plugins.probe_spec")),
      started_at: this.startedAt,
      ended_at: instantOf(completion?.["end_time"]),
      attempts: this.attempts,
      evaluations: this.evaluations,
      is_complete: completion !== undefined,
      ...Object.fromEntries(this.#frame),
    });
  }

  #value(...names: readonly string[]): unknown {
    for (const fields of this.#frame.values()) {
      const name = names.find((one) => fields[one] !== undefined && fields[one] !== null);
      if (name !== undefined) return fields[name];
    }
    return undefined;
  }
}

function runId(entry: Fields): string | undefined {
  return textOf(entry["transient.run_id"]) ?? textOf(entry["run_id"]) ?? textOf(entry["run"]);
}
