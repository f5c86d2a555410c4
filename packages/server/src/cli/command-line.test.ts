import { ImportError } from "@custody/contract/importer";
import type { FoundRecord } from "@custody/core/custody";
import type { TypeInfo } from "@custody/core/reports";
import { CoreError } from "@custody/core/errors";
import { StoreError } from "@custody/stores/errors";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

import { runCommandLine } from "./command-line.ts";
import { composeWith } from "./testing/custody-double.ts";
import { recordedTerminal } from "./testing/recorded-terminal.ts";

type Answers = Parameters<typeof composeWith>[0];

async function run(
  words: readonly string[],
  answers: Answers = {},
  options: Parameters<typeof recordedTerminal>[0] = {},
): Promise<{ exitCode: number; output: string; notes: string; isClosed: boolean }> {
  const { terminal, output, notes } = recordedTerminal(options);
  const compose = composeWith(answers);
  const exitCode = await runCommandLine(words, terminal, compose);
  return { exitCode, output: output(), notes: notes(), isClosed: compose.isClosed() };
}

const record: FoundRecord = {
  type: "redteam/hits",
  id: "h-1",
  version: 7,
  fields: { model: "helpdesk", score: 9007199254740993n, ["__proto__"]: "kept" },
};

const types: readonly TypeInfo[] = [
  {
    name: "redteam/hits",
    version: 1,
    title: "One hit.",
    mode: "versioned",
    scope: "tenant",
    id: "key",
    roles: ["document"],
    fields: ["model"],
    records: 1,
  },
];

test("help is printed and is no failure", async () => {
  const { exitCode, output } = await run(["--help"]);
  expect(exitCode).toBe(0);
  for (const command of ["init", "import", "find", "trace", "verify", "rebuild", "quarantine"]) {
    expect(output).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
  }
});

test("no command at all is a wrong command line, and is told what there is", async () => {
  const { exitCode, output } = await run([]);
  expect(exitCode).toBe(2);
  expect(output).toContain("Usage: custody");
});

test("an unknown command exits with 2 and names the nearest", async () => {
  expect(await run(["fnid", "x"])).toMatchObject({
    exitCode: 2,
    output: "",
    notes: "custody: unknown command 'fnid'\n  Did you mean find?\n",
  });
});

test("an unknown option exits with 2 and names the nearest", async () => {
  const { exitCode, notes } = await run(["find", "redteam/hits", "--filtre", "{}"]);
  expect(exitCode).toBe(2);
  expect(notes).toBe("custody: unknown option '--filtre'\n  Did you mean --filter?\n");
});

test("an unknown type exits with 2 and names the nearest", async () => {
  const answers: Answers = {
    find: () => Promise.reject(new CoreError("usage", "unknown type")),
    types: async () => types,
  };
  const { exitCode, notes } = await run(["find", "redteam/hit"], answers);
  expect(exitCode).toBe(2);
  expect(notes).toBe(
    'custody: there is no record type "redteam/hit"\n  did you mean redteam/hits? `custody types` lists all\n',
  );
});

test("with --json an error is one JSON object on standard error and nothing else", async () => {
  const { exitCode, output, notes } = await run(["find", "x", "--limit", "0", "--json"]);
  expect(exitCode).toBe(2);
  expect(output).toBe("");
  expect(JSON.parse(notes)).toEqual({
    code: "usage",
    message: 'not a number from 1 on: "0"',
  });
});

test("find prints one record a line, its own fields at the top, whole numbers unrounded", async () => {
  const answers: Answers = { find: async () => ({ records: [record], checkpoint: 7 }) };
  const { exitCode, output, isClosed } = await run(["find", "redteam/hits", "--json"], answers);
  expect(exitCode).toBe(0);
  expect(output).toBe(
    '{"_type":"redteam/hits","_id":"h-1","_version":7,"model":"helpdesk","score":9007199254740993,"__proto__":"kept"}\n',
  );
  expect(isClosed).toBe(true);
});

test("find with --json and no --limit goes through all pages, with one to its end", async () => {
  const asked: unknown[] = [];
  const find: NonNullable<Answers["find"]> = async (_scope, _type, options) => {
    asked.push(options);
    const isLast = options?.cursor === "second";
    const records = Array.from({ length: options?.limit ?? 0 }, () => record);
    return { records, checkpoint: 7, ...(isLast ? {} : { cursor: "second" }) };
  };
  const all = await run(["find", "redteam/hits", "--json"], { find });
  expect(all.output.split("\n").length - 1).toBe(1_000);
  expect(asked).toEqual([{ limit: 500 }, { limit: 500, cursor: "second" }]);
  const some = await run(["find", "redteam/hits", "--json", "--limit", "501"], { find });
  expect(some.output.split("\n").length - 1).toBe(501);
});

test("the owner who is named reaches the library, and none does where none is named", async () => {
  const asked: unknown[] = [];
  const answers: Answers = {
    find: async (scope) => {
      asked.push(scope.owner);
      return { records: [], checkpoint: 3 };
    },
  };
  await run(["find", "redteam/hits", "--owner", "ana"], answers);
  await run(["find", "redteam/hits"], answers);
  expect(asked).toEqual(["ana", undefined]);
});

test("what find is asked for reaches the library", async () => {
  const asked: unknown[] = [];
  const answers: Answers = {
    find: async (scope, type, options) => {
      asked.push(scope.tenant, type, options);
      return { records: [], checkpoint: 3 };
    },
  };
  const words = "find redteam/hits --tenant acme --where model=a --sort score:desc,model --limit 2";
  const { exitCode, output } = await run(
    [...words.split(" "), "--after", "3", "--cursor", "c"],
    answers,
  );
  expect(exitCode).toBe(0);
  expect(output).toBe("no record meets that\n");
  expect(asked).toEqual([
    "acme",
    "redteam/hits",
    {
      filter: { model: "a" },
      sort: [
        { path: "score", direction: "desc" },
        { path: "model", direction: "asc" },
      ],
      limit: 2,
      cursor: "c",
      after: 3,
    },
  ]);
});

test("a record that is not there exits with 1", async () => {
  const answers: Answers = { get: async () => undefined, types: async () => types };
  const { exitCode, notes } = await run(["get", "redteam/hits", "h-2", "--json"], answers);
  expect(exitCode).toBe(1);
  expect(JSON.parse(notes)).toMatchObject({ code: "not-found" });
});

test("verify that finds something wrong exits with 1 and names it", async () => {
  const report = {
    ok: false,
    checked: { tenants: 1, entries: 3, records: 9, segments: 1, treeHeads: 3, bytes: 2_000 },
    fault: { tenant: "default", kind: "segment", at: "segment 0192", reason: "block 2 is altered" },
  };
  const { exitCode, output, notes } = await run(["verify"], { verify: async () => report });
  expect(exitCode).toBe(1);
  expect(notes).toBe("");
  expect(output).toBe(
    "found wrong: segment 0192 of tenant default: block 2 is altered\nchecked 3 entries, 9 records, 1 segment, 3 tree heads, 2.0 kB in 0 ms\n",
  );
  const asJson = await run(["verify", "--json"], { verify: async () => report });
  expect(JSON.parse(asJson.output)).toEqual(report);
});

test("a store that fails is told with its code and what to do", async () => {
  const answers: Answers = {
    search: () => Promise.reject(new StoreError("corrupt", "search.sqlite is damaged")),
  };
  expect(await run(["search", "redteam/hits", "word"], answers)).toMatchObject({
    exitCode: 1,
    notes:
      "custody: search.sqlite is damaged\n  run `custody rebuild ROLE`: every store is rebuilt from the journal\n",
    isClosed: true,
  });
});

test("an error cannot act on the terminal", async () => {
  const answers: Answers = {
    find: () => Promise.reject(new StoreError("refused", "no column \u001b[2J")),
  };
  const { notes } = await run(["find", "redteam/hits"], answers);
  expect(notes).toBe("custody: no column \\u001b[2J\n");
});

test("a bad file does not stop the others, and the command fails", async () => {
  const directory = await mkdtemp(join(tmpdir(), "custody-import-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "good.json"), "{}");
  await writeFile(join(directory, "bad.json"), "{");
  const answers: Answers = {
    import: async (_scope, open, { name }) => {
      let bytes = 0;
      for await (const chunk of open()) bytes += chunk.byteLength;
      if (name === "bad.json") throw new ImportError("malformed", "unclosed", { at: "line 1" });
      return {
        format: "trivy",
        sha256: "44136fa3",
        bytes,
        types: { "fortress/scan_results": { accepted: 1, duplicates: 0, rejected: 0 } },
        receipts: [],
        isReplay: false,
        rejections: [],
      };
    },
    catchUp: async () => undefined,
  };
  const words = ["import", "bad.json", "good.json", "none.json", "--json"];
  const { exitCode, output, notes } = await run(words, answers, { directory });
  expect(exitCode).toBe(1);
  expect(JSON.parse(notes)).toMatchObject({
    code: "malformed",
    at: "line 1",
    path: "bad.json",
    message: "unclosed (and 1 more file failed)",
  });
  expect(JSON.parse(output)).toMatchObject({
    files: [
      {
        path: "good.json",
        format: "trivy",
        sha256: "44136fa3",
        types: { "fortress/scan_results": { accepted: 1, duplicates: 0, rejected: 0 } },
        receipts: [],
      },
    ],
    failed: [
      { path: "bad.json", code: "malformed" },
      { path: "none.json", code: "no-such-file" },
    ],
  });
});

test("in a directory a file of no known format is skipped, named itself it is a failure", async () => {
  const directory = await mkdtemp(join(tmpdir(), "custody-import-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "notes.txt"), "x");
  const answers: Answers = {
    import: () => Promise.reject(new ImportError("unknown-format", "no importer knows it")),
  };
  const below = await run(["import", "-r", ".", "--json"], answers, { directory });
  expect(below).toMatchObject({ exitCode: 0, output: '{"files":[],"skipped":["notes.txt"]}\n' });
  const named = await run(["import", "notes.txt"], answers, { directory });
  expect(named).toMatchObject({ exitCode: 1 });
  const unasked = await run(["import", "."], answers, { directory });
  expect(unasked).toMatchObject({ exitCode: 2 });
});

test("init shows the recovery key once", async () => {
  const { exitCode, output } = await run(["init", "--data", "/d", "--key-file", "/k", "--json"]);
  expect(exitCode).toBe(0);
  expect(JSON.parse(output)).toEqual({
    dataDirectory: "/d",
    keyFile: "/k",
    recoveryKey: "ABCD-EFGH",
  });
});

test("a proof is checked without any data directory", async () => {
  const { exitCode, output } = await run(["verify-proof", "-", "--json"], {}, { input: "{}" });
  expect(exitCode).toBe(1);
  expect(JSON.parse(output)).toMatchObject({ ok: false });
});

test("status is one object keyed by role", async () => {
  const role = {
    engine: "sqlite",
    product: "SQLite",
    records: 3,
    bytes: 4_096,
    lag: 0,
    encrypted: "nothing",
    condition: "ok",
    projections: [],
  } as const;
  const projection = {
    name: "redteam/hits",
    generation: 1,
    records: 3,
    checkpoint: 1,
    lag: 1,
    condition: "failed",
    reason: "no space is left",
    quarantined: 0,
  } as const;
  const failed = { ...role, condition: "failed", projections: [projection] } as const;
  const status = {
    tenant: "default",
    timeline: "t",
    entries: 2,
    head: "ab",
    roles: { relational: role, document: failed },
    disks: [{ place: "/data", freeBytes: 10, totalBytes: 9_000, neededBytes: 2_500, isLow: true }],
    breakers: [
      { store: "search", state: "open", since: 0, retryAt: 1_000, reason: "connection refused" },
    ],
  };
  const answers: Answers = { status: async () => status };
  const { exitCode, output } = await run(["status", "--json"], answers);
  expect(exitCode).toBe(0);
  expect(JSON.parse(output)).toEqual({
    relational: {
      ...role,
      journal: {
        timeline: "t",
        entries: 2,
        head: "ab",
        disks: status.disks,
        breakers: status.breakers,
      },
    },
    document: failed,
  });
  const checked = await run(["status", "--check"], answers);
  expect(checked.exitCode).toBe(1);
  expect(checked.output).toContain("document redteam/hits is failed: no space is left");
  expect(checked.output).toContain(
    "writes are refused: 10 bytes are free at /data, and 2.5 kB must be; reads go on",
  );
  expect(checked.output).toContain(
    "search has not answered since 1970-01-01 00:00:00 UTC and is asked again at 1970-01-01 00:00:01 UTC: connection refused",
  );
});
