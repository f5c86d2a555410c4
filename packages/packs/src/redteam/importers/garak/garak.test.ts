import { describe, expect, test } from "vitest";

import { fieldsOf, importAll, sourceOf } from "../../../testing/read-text.ts";
import { evaluations } from "../../types/evaluations.ts";
import { hits } from "../../types/hits.ts";
import { sessionEvidence } from "../../types/session-evidence.ts";
import { testSessions } from "../../types/test-sessions.ts";
import { garak } from "./garak.ts";

const SETUP = {
  entry_type: "start_run setup",
  "_config.version": "0.14.0",
  "transient.run_id": "run-1",
  "transient.starttime_iso": "2026-01-05T08:00:00.250000",
  "run.eval_threshold": 0.5,
  "plugins.target_type": "test.Repeat",
  "plugins.target_name": "demo",
};

function attempt(status: number, changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    entry_type: "attempt",
    uuid: "u-1",
    seq: 0,
    status,
    probe_classname: "dan.Dan_11_0",
    probe_params: {},
    targets: [],
    prompt: {
      turns: [
        {
          role: "user",
          content: { text: "Say \u0000 it", lang: "en", data_path: null, notes: {} },
        },
      ],
      notes: {},
    },
    outputs: [{ text: "No.", lang: "de", data_path: null, notes: {} }, null, { text: "Yes." }],
    detector_results:
      status === 2 ? { "dan.DAN": [0.0, null, 1.0], "mitigation.Bypass": [0.4] } : {},
    notes: { triggers: ["dan"] },
    goal: "break it",
    conversations: [{ turns: [] }],
    intent: "new member",
    ...changes,
  };
}

const lines = (...rows: readonly unknown[]): string =>
  rows.map((row) => `${typeof row === "string" ? row : JSON.stringify(row)}\n`).join("");

describe("garak", () => {
  test("an attempt that occurs open and judged is one record with everything in it", async () => {
    const rows = await importAll(garak, lines(SETUP, attempt(1), attempt(2)));
    const [evidence, ...others] = fieldsOf(rows, "redteam/session_evidence");
    expect(others).toEqual([]);
    expect(evidence).toEqual({
      id: expect.stringMatching(
        /^019b8d2b-8cfa-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
      ) as string,
      session_id: "run-1",
      observed_at: "2026-01-05T08:00:00.250Z",
      model: "test.Repeat demo",
      probe: "dan.Dan_11_0",
      scores: [
        { scorer: "dan.DAN", type: "float_scale", value: 0, output: 0, is_hit: false },
        { scorer: "dan.DAN", type: "float_scale", value: null, output: 1, is_hit: false },
        { scorer: "dan.DAN", type: "float_scale", value: 1, output: 2, is_hit: true },
        { scorer: "mitigation.Bypass", type: "float_scale", value: 0.4, output: 0, is_hit: false },
      ],
      vulnerability_ids: ["garak:dan.Dan_11_0"],
      tested_vulnerability_ids: ["garak:dan.Dan_11_0"],
      labels: {},
      converters: [],
      prompt: { turns: [{ role: "user", content: "Say \u0000 it", details: { lang: "en" } }] },
      response: { content: "No.", details: { lang: "de" } },
      further_responses: [{ content: null }, { content: "Yes." }],
      goal: "break it",
      status: 2,
      attempt_id: "u-1",
      attempt_seq: 0,
      notes: { triggers: ["dan"] },
      details: { conversations: [{ turns: [] }], intent: "new member" },
    });
    expect(sessionEvidence.schema.safeParse(evidence).success).toBe(true);
  });

  test("the order of the two states does not matter, and an attempt never judged is kept", async () => {
    const open = attempt(1, { uuid: "u-2" });
    const rows = await importAll(garak, lines(SETUP, attempt(2), attempt(1), open, "", open));
    expect(
      fieldsOf(rows, "redteam/session_evidence").map((one) => [one["attempt_id"], one["status"]]),
    ).toEqual([
      ["u-1", 2],
      ["u-2", 1],
    ]);
  });

  test("the same file gives the same ids", async () => {
    const file = lines(SETUP, attempt(2), attempt(1, { uuid: "u-2" }));
    const ids = async (): Promise<unknown[]> =>
      fieldsOf(await importAll(garak, file), "redteam/session_evidence").map((one) => one["id"]);
    expect(await ids()).toEqual(await ids());
    expect(new Set(await ids()).size).toBe(2);
  });

  test("rows of old versions are read: text prompts, text outputs, no uuid, equal rows apart", async () => {
    const old = {
      entry_type: "attempt",
      status: 2,
      probe_classname: "a.B",
      prompt: "hello",
      outputs: ["hi"],
      detector_results: { "c.D": [true] },
      notes: {},
    };
    const rows = await importAll(
      garak,
      lines({ ...old, status: 1 }, old, { ...old, status: 1 }, old),
    );
    const evidence = fieldsOf(rows, "redteam/session_evidence");
    expect(evidence).toHaveLength(2);
    expect(new Set(evidence.map((one) => one["id"])).size).toBe(2);
    expect(evidence[0]).toMatchObject({
      session_id: `sha256:${"ab".repeat(32)}`,
      prompt: { turns: [{ role: "user", content: "hello" }] },
      response: { content: "hi" },
      scores: [{ scorer: "c.D", type: "true_false", value: true, output: 0, is_hit: true }],
    });
    expect(evidence[0]).not.toHaveProperty("observed_at");
  });

  test("shapes that no version is known to write are kept as details", async () => {
    const odd = attempt(2, {
      detector_results: { a: "high", b: [{ x: 1 }] },
      notes: "text",
      outputs: "one",
    });
    const rows = await importAll(garak, lines(odd));
    expect(fieldsOf(rows, "redteam/session_evidence")[0]).toMatchObject({
      scores: [],
      details: { detector_results: { a: "high", b: [{ x: 1 }] }, notes: "text", outputs: "one" },
    });
  });

  test("the run becomes a session, and every other entry is kept whole", async () => {
    const rows = await importAll(
      garak,
      lines(
        SETUP,
        {
          entry_type: "init",
          garak_version: "0.14.0",
          start_time: "2026-01-05T08:00:01",
          run: "run-1",
        },
        attempt(2),
        {
          entry_type: "eval",
          probe: "dan.Dan_11_0",
          detector: "dan.DAN",
          passed: 1,
          total: 4,
          x: 1,
        },
        { entry_type: "probe_summary", "a.b": "$c" },
        { entry_type: "completion", end_time: "2026-01-05T09:00:00", run: "run-1" },
      ),
    );
    expect(rows[0]).toEqual({ kind: "tool", name: "garak", version: "0.14.0" });
    const [session] = fieldsOf(rows, "redteam/test_sessions");
    expect(session).toMatchObject({
      session_id: "run-1",
      tool_version: "0.14.0",
      model: "test.Repeat demo",
      started_at: "2026-01-05T08:00:00.250Z",
      ended_at: "2026-01-05T09:00:00.000Z",
      attempts: 1,
      evaluations: 1,
      is_complete: true,
      setup: SETUP,
    });
    expect(testSessions.schema.safeParse(session).success).toBe(true);
    const [evaluation] = fieldsOf(rows, "redteam/evaluations");
    expect(evaluation).toEqual({
      session_id: "run-1",
      observed_at: "2026-01-05T08:00:00.250Z",
      model: "test.Repeat demo",
      probe: "dan.Dan_11_0",
      detector: "dan.DAN",
      passed: 1,
      total_evaluated: 4,
      attack_success_rate: 0.75,
      details: { total: 4, x: 1 },
    });
    expect(evaluations.schema.safeParse(evaluation).success).toBe(true);
    expect(fieldsOf(rows, "redteam/session_entries")).toMatchObject([
      { session_id: "run-1", entry_type: "probe_summary", content: { "a.b": "$c" } },
    ]);
  });

  test("two runs in one file are two sessions", async () => {
    const second = { ...SETUP, "transient.run_id": "run-2" };
    const rows = await importAll(garak, lines(SETUP, attempt(1), second, attempt(2)));
    expect(fieldsOf(rows, "redteam/test_sessions").map((one) => one["session_id"])).toEqual([
      "run-1",
      "run-2",
    ]);
    expect(
      fieldsOf(rows, "redteam/session_evidence").map((one) => [one["session_id"], one["status"]]),
    ).toEqual([
      ["run-1", 1],
      ["run-2", 2],
    ]);
  });

  test("a hit log's rows are hits", async () => {
    const hit = {
      goal: "g",
      prompt: "p",
      output: "o",
      trigger: null,
      triggers: ["t"],
      score: 0.95,
      run_id: "run-1",
      attempt_id: "u-1",
      attempt_seq: 3,
      attempt_idx: 1,
      generator: "test.Repeat None",
      probe: "a.B",
      detector: "c.D",
      generations_per_prompt: 5,
      more: { x: 1 },
    };
    expect(garak.detect((await sourceOf(lines(hit))).head)).toBe(0.9);
    const [fields] = fieldsOf(await importAll(garak, lines(hit)), "redteam/hits");
    expect(fields).toEqual({
      session_id: "run-1",
      attempt_id: "u-1",
      attempt_seq: 3,
      attempt_idx: 1,
      model: "test.Repeat",
      probe: "a.B",
      detector: "c.D",
      score: 0.95,
      goal: "g",
      triggers: ["t"],
      generations_per_prompt: 5,
      vulnerability_ids: ["garak:a.B"],
      prompt: { turns: [{ role: "user", content: "p" }] },
      response: { content: "o" },
      details: { more: { x: 1 } },
    });
    expect(hits.schema.safeParse(fields).success).toBe(true);
  });

  test("a digest is read from a document over many lines as from a report's line", async () => {
    const digest = { entry_type: "digest", meta: { run_uuid: "run-9" }, eval: { a: 1 } };
    for (const text of [
      JSON.stringify(digest, undefined, 2),
      lines(digest),
      JSON.stringify(digest),
    ]) {
      expect(garak.detect((await sourceOf(text)).head)).toBeGreaterThan(0.7);
      expect(fieldsOf(await importAll(garak, text), "redteam/session_entries")).toMatchObject([
        { session_id: "run-9", entry_type: "digest", content: digest },
      ]);
    }
  });

  test("a bad line is refused with its number, or rejected when the reader is lenient", async () => {
    const deep = `{"entry_type":"attempt","prompt":${"[".repeat(300)}${"]".repeat(300)}}`;
    for (const bad of ['{"entry_type": "attempt", "uu', "[1]", '{"x": 1}', deep]) {
      const file = lines(SETUP, bad, attempt(2));
      await expect(importAll(garak, file)).rejects.toMatchObject({
        code: "malformed",
        at: "line 2",
      });
      const rows = await importAll(garak, file, { isLenient: true });
      expect(rows.filter((row) => row.kind === "rejected")).toEqual([
        { kind: "rejected", at: "line 2", reason: expect.any(String) as string, text: bad },
      ]);
      expect(fieldsOf(rows, "redteam/session_evidence")).toHaveLength(1);
    }
  });

  test("a session and a target named by the user stand where the file names none", async () => {
    const rows = await importAll(garak, lines(attempt(2)), {
      labels: { session: "s", target: "m" },
    });
    expect(fieldsOf(rows, "redteam/session_evidence")[0]).toMatchObject({
      session_id: "s",
      model: "m",
      labels: { session: "s", target: "m" },
    });
  });
});
