import { afterEach, beforeEach, describe, expect, test } from "vitest";

import type { CommitPart } from "./commit-request.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { attempt } from "../testing/sample-types.ts";

let installation: Installation;
beforeEach(async () => {
  installation = await openInstallation();
});
afterEach(() => installation[Symbol.asyncDispose]());

const attempts = (...records: readonly unknown[]): readonly CommitPart[] => [
  { type: "sample/attempts", put: records.map((fields) => ({ fields })) },
];
const asset = (name: string, risk: number): readonly CommitPart[] => [
  { type: "sample/assets", put: [{ fields: { name, owner: "ops", risk } }] },
];

describe("a commit", () => {
  test("is answered with the place and the hash of its entry", async () => {
    const { custody } = installation;
    const first = await custody.commit(scope, attempts(attempt("a1"), attempt("a2")));
    const second = await custody.commit(scope, attempts(attempt("a3")));
    expect(first.entries).toEqual([
      {
        type: "sample/attempts",
        operation: "put",
        sequence: 1,
        entryHash: expect.stringMatching(/^[0-9a-f]{64}$/),
        accepted: 2,
      },
    ]);
    expect(second.entries[0]?.sequence).toBe(2);
    expect(second.head).toMatchObject({ tenant: "acme", size: 2, timeline: first.timeline });
  });

  test("of several types has an entry for each, one behind the other, under one commit id", async () => {
    const receipt = await installation.custody.commit(scope, [
      ...asset("db", 1),
      ...attempts(attempt("a1")),
    ]);
    expect(receipt.entries.map(({ type, sequence }) => [type, sequence])).toEqual([
      ["sample/assets", 1],
      ["sample/attempts", 2],
    ]);
  });

  test("with an invalid record names the field and leaves nothing behind", async () => {
    const { custody } = installation;
    const bad = attempts(attempt("a1"), attempt("a2", { score: "high" }));
    await expect(custody.commit(scope, bad)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringContaining("score") as unknown,
    });
    expect(await custody.get(scope, "sample/attempts", "a1")).toBeUndefined();
    expect((await custody.status(scope)).entries).toBe(0);
  });

  test("keeps the good records and counts the bad ones when told to", async () => {
    const parts = attempts(attempt("a1"), attempt("a2", { score: "high" }));
    const receipt = await installation.custody.commit(scope, parts, { onBad: "reject" });
    expect(receipt.rejected).toEqual({ "sample/attempts": 1 });
    expect(receipt.entries[0]?.accepted).toBe(1);
  });

  test("of nothing new makes no entry and says how many records were there", async () => {
    const { custody } = installation;
    await custody.commit(scope, attempts(attempt("a1")));
    const again = await custody.commit(scope, attempts(attempt("a1"), attempt("a1")));
    expect(again).toMatchObject({
      entries: [],
      duplicates: { "sample/attempts": 2 },
      head: { size: 1 },
    });
  });

  test("that would change an append-only record is refused", async () => {
    const { custody } = installation;
    await custody.commit(scope, attempts(attempt("a1")));
    await expect(
      custody.commit(scope, attempts(attempt("a1", { score: 1 }))),
    ).rejects.toMatchObject({
      code: "conflict",
    });
  });

  test("may correct an append-only record and names the commit it supersedes", async () => {
    const { custody } = installation;
    const first = await custody.commit(scope, attempts(attempt("a1")));
    const fixed = await custody.commit(scope, attempts(attempt("a1", { score: 1 })), {
      corrects: first.commit,
    });
    expect(fixed.entries[0]?.operation).toBe("correction");
    expect((await custody.get(scope, "sample/attempts", "a1"))?.fields["score"]).toBe(1);
  });

  test("larger than what fits into a row lies in a segment and reads back the same", async () => {
    const { custody } = installation;
    const long = "x".repeat(3_000);
    const records = Array.from({ length: 200 }, (_, index) =>
      attempt(`b${index}`, { prompt: `${index} ${long}` }),
    );
    await custody.commit(scope, attempts(...records));
    expect((await custody.get(scope, "sample/attempts", "b137"))?.fields).toEqual(records[137]);
    expect((await custody.trace(scope, "sample/attempts", "b137")).location.kind).toBe("segment");
  });

  test("keeps whole numbers beyond 2^53 and odd member names", async () => {
    const { custody } = installation;
    const fields = JSON.parse(
      '{"id":"odd","said":"__proto__ \\u0000 $where","asset":"db","person":"p"}',
    ) as unknown;
    await custody.commit(scope, asset("db", 1));
    await custody.commit(scope, [{ type: "sample/interviews", put: [{ fields }] }]);
    expect((await custody.get(scope, "sample/interviews", "odd"))?.fields["said"]).toBe(
      "__proto__ \0 $where",
    );
  });
});

describe("versions", () => {
  test("a changed record is a new version, and the same again is none", async () => {
    const { custody } = installation;
    await custody.commit(scope, asset("db", 1));
    await custody.commit(scope, asset("db", 2));
    expect(await custody.commit(scope, asset("db", 2))).toMatchObject({ entries: [] });
    expect(await custody.get(scope, "sample/assets", "db")).toMatchObject({
      version: 2,
      fields: { risk: 2 },
    });
  });

  test("an id that comes with two contents in one commit gets a version for each", async () => {
    const { custody } = installation;
    const receipt = await custody.commit(scope, [
      {
        type: "sample/assets",
        put: [1, 2].map((risk) => ({ fields: { name: "db", owner: "ops", risk } })),
      },
    ]);
    expect(receipt.entries.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(await custody.get(scope, "sample/assets", "db")).toMatchObject({ fields: { risk: 2 } });
  });

  test("a deleted record is gone and can come back", async () => {
    const { custody } = installation;
    await custody.commit(scope, asset("db", 1));
    await custody.commit(scope, [{ type: "sample/assets", delete: ["db", "never-was"] }]);
    expect(await custody.get(scope, "sample/assets", "db")).toBeUndefined();
    await custody.commit(scope, asset("db", 1));
    expect(await custody.get(scope, "sample/assets", "db")).toMatchObject({ version: 3 });
  });

  test("a change is refused when the record is not at the version the writer saw", async () => {
    const { custody } = installation;
    await custody.commit(scope, asset("db", 1));
    const ifVersion = (version: number): object => ({
      ifVersion: { "sample/assets": { db: version } },
    });
    await custody.commit(scope, asset("db", 2), ifVersion(1));
    await expect(custody.commit(scope, asset("db", 3), ifVersion(1))).rejects.toMatchObject({
      code: "conflict",
    });
    await expect(custody.commit(scope, asset("db", 3), ifVersion(0))).rejects.toMatchObject({
      code: "conflict",
    });
  });
});

describe("guards", () => {
  test("the same idempotency key is answered with the first receipt", async () => {
    const { custody } = installation;
    const options = { idempotencyKey: "order-1" };
    const first = await custody.commit(scope, asset("db", 1), options);
    const again = await custody.commit(scope, asset("db", 1), options);
    expect(again).toEqual({ ...first, isReplay: true });
  });

  test("an idempotency key used for another commit is a conflict", async () => {
    const { custody } = installation;
    await custody.commit(scope, asset("db", 1), { idempotencyKey: "order-1" });
    await expect(
      custody.commit(scope, asset("db", 2), { idempotencyKey: "order-1" }),
    ).rejects.toMatchObject({
      code: "conflict",
    });
  });

  test("a record that names something unknown is refused with the commit", async () => {
    const { custody } = installation;
    const part = {
      type: "sample/interviews",
      put: [{ fields: { id: "i1", asset: "ghost", person: "p", said: "s" } }],
    };
    await expect(custody.commit(scope, [part])).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("ghost") as unknown,
    });
  });

  test("a violated constraint of a transactional type rejects the whole commit", async () => {
    const { custody } = installation;
    const user = (id: string): CommitPart => ({
      type: "sample/users",
      put: [{ fields: { id, login: "ana" } }],
    });
    await custody.commit(scope, [user("u1")]);
    await expect(custody.commit(scope, [user("u2"), ...asset("db", 1)])).rejects.toMatchObject({
      code: "conflict",
    });
    expect(await custody.get(scope, "sample/assets", "db")).toBeUndefined();
  });

  test("another tenant sees nothing of it", async () => {
    const { custody } = installation;
    await custody.commit(scope, asset("db", 1));
    expect(await custody.get({ ...scope, tenant: "other" }, "sample/assets", "db")).toBeUndefined();
    expect((await custody.find({ ...scope, tenant: "other" }, "sample/assets")).records).toEqual(
      [],
    );
  });

  test("forty writers at once get gapless sequences and every record is there", async () => {
    const { custody } = installation;
    const receipts = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        custody.commit(scope, attempts(attempt(`c${index}`))),
      ),
    );
    const sequences = receipts.flatMap(({ entries }) => entries.map(({ sequence }) => sequence));
    expect(sequences.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
    expect((await custody.count(scope, "sample/attempts")).count).toBe(40);
    expect((await custody.verify(scope)).ok).toBe(true);
  });

  test("two writers of the same record leave one version each, and neither is lost", async () => {
    const { custody } = installation;
    await Promise.all([1, 2, 3, 4].map((risk) => custody.commit(scope, asset("db", risk))));
    expect((await custody.get(scope, "sample/assets", "db"))?.version).toBe(4);
    expect((await custody.verify(scope)).ok).toBe(true);
  });
});

describe("personal fields", () => {
  test("stand in no stored line and are read back open", async () => {
    const { custody, stores } = installation;
    await custody.commit(scope, asset("db", 1));
    const fields = {
      id: "i1",
      asset: "db",
      person: "Ana Example",
      said: "the password is on the note",
    };
    await custody.commit(scope, [{ type: "sample/interviews", put: [{ fields }] }]);
    expect((await custody.get(scope, "sample/interviews", "i1"))?.fields).toEqual(fields);
    const bundle = await custody.proof(scope, "sample/interviews", "i1");
    const line = Buffer.from(bundle.line, "base64").toString("utf8");
    expect(line).not.toContain("password");
    expect(line).not.toContain("Ana");
    expect(line).toContain('"sealed":"');
    expect(await (await stores.journal()).tenants()).toEqual(["acme"]);
  });
});

describe("reopening", () => {
  test("everything is there after closing and opening again", async () => {
    await installation.custody.commit(scope, asset("db", 1));
    installation = await installation.reopen();
    expect(await installation.custody.get(scope, "sample/assets", "db")).toMatchObject({
      version: 1,
    });
    const receipt = await installation.custody.commit(scope, asset("web", 1));
    expect(receipt.entries[0]?.sequence).toBe(2);
  });
});

describe("compaction", () => {
  test("moves inline lines into a segment, and proofs and reads stay as they were", async () => {
    const { custody } = installation;
    for (const index of [1, 2, 3, 4, 5])
      await custody.commit(scope, attempts(attempt(`d${index}`)));
    const before = await custody.proof(scope, "sample/attempts", "d3");
    const done = await custody.compact(scope);
    expect(done.entries).toBeGreaterThanOrEqual(5);
    expect(done.segmentsAfter).toBe(1);
    const after = await custody.proof(scope, "sample/attempts", "d3");
    expect([after.line, after.entry]).toEqual([before.line, before.entry]);
    expect((await custody.trace(scope, "sample/attempts", "d3")).location.kind).toBe("segment");
    expect((await custody.verify(scope)).ok).toBe(true);
  });

  test("merges small segments into one and drops their files", async () => {
    const { custody, stores } = installation;
    const text = "y".repeat(2_000);
    for (const round of [1, 2, 3]) {
      const records = Array.from({ length: 30 }, (_, index) =>
        attempt(`e${round}-${index}`, { prompt: text }),
      );
      await custody.commit(scope, attempts(...records));
    }
    const done = await custody.compact(scope);
    expect([done.segmentsBefore, done.segmentsAfter]).toEqual([3, 1]);
    expect((await (await stores.blob()).usage(scope)).blobs).toBe(1);
    expect((await custody.verify(scope)).ok).toBe(true);
    expect((await custody.get(scope, "sample/attempts", "e2-7"))?.fields["prompt"]).toBe(text);
  });
});
