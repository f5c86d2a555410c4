import { randomInt } from "node:crypto";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { PROJECTED_ROLES } from "@custody/core/stores";

import { dropInstallation } from "../../testbed/drop-installation.ts";
import { roleUrls } from "../../testbed/role-urls.ts";
import { HIDDEN, hideRecords } from "./hidden-records.ts";
import {
  askQuestions,
  differences,
  importExamples,
  makeMixedInstallation,
  scope,
} from "./mixed-installation.ts";
import type { Answers, MixedInstallation } from "./mixed-installation.ts";
import { describeMix, drawMixes, mixUrls } from "./mixes.ts";
import { describeOnServers, freshCandidates, freshUrls } from "./on-servers.ts";

const MIXES = 6;
// A mix takes some ten seconds on a machine that has nothing else to do.
const TIMEOUT_MS = 600_000;
// What a tenant's journal keeps cannot be moved by another URL: the relational role is left where it is.
const MOVED = PROJECTED_ROLES.filter((role) => role !== "relational");

// CUSTODY_SEED=<number> draws the mixes of a run again.
const seed = Number(process.env["CUSTODY_SEED"] ?? randomInt(2 ** 31));

// What the embedded engines answer, and what they answer it from.
let embedded: MixedInstallation;
let expected: Answers;

describeOnServers(() => {
  beforeAll(async () => {
    embedded = await makeMixedInstallation(afterAll);
    await using custody = await embedded.open({});
    expect(await importExamples(custody, embedded)).toEqual([]);
    const { answers, broken } = await askQuestions(custody);
    expect(broken).toEqual([]);
    expected = answers;
  }, TIMEOUT_MS);

  const mixes = drawMixes(quickCandidates(roleUrls(process.env, "custody")), MIXES, seed).map(
    (mix, index) => ({
      mix,
      index,
      text: describeMix(mix),
    }),
  );

  describe(`mixes of engines, drawn with CUSTODY_SEED=${seed}`, () => {
    for (const { mix, index, text } of mixes) {
      test(
        `answer as the embedded engines do, and mend what is hidden from them: ${text}`,
        { timeout: TIMEOUT_MS },
        async () => {
          const urls = mixUrls(freshCandidates(), mix);
          onTestFinished(() => dropInstallation(urls), TIMEOUT_MS);
          const installation = await makeMixedInstallation(onTestFinished);
          {
            await using custody = await installation.open(urls);
            expect(await importExamples(custody, installation)).toEqual([]);
            expect(await askQuestions(custody)).toEqual({ answers: expected, broken: [] });
            expect(await differences(custody)).toEqual([]);
            expect(await custody.verify(scope)).toMatchObject({ ok: true });
          }
          await hideRecords(installation.data, urls);
          await using custody = await installation.open(urls);
          const found = await custody.reconcile(scope, { roles: HIDDEN, repair: true });
          expect(
            found.projections.flatMap(({ role, differences: count, repaired }) =>
              count === 0 ? [] : [{ role, count, repaired }],
            ),
          ).toEqual(HIDDEN.map((role) => ({ role, count: 1, repaired: 1 })));
          const rebuilt = [PROJECTED_ROLES[index] ?? "graph"] as const;
          await custody.rebuild(scope, rebuilt);
          expect(await askQuestions(custody)).toEqual({ answers: expected, broken: [] });
          expect(await differences(custody, rebuilt)).toEqual([]);
          const troubles = (await custody.engines()).filter(({ trouble }) => trouble !== undefined);
          expect(troubles).toEqual([]);
          const { roles } = await custody.status(scope);
          for (const [role, { condition }] of Object.entries(roles)) {
            expect([role, condition]).toEqual([
              role,
              expect.stringMatching(/^(ok|lagging|closed)$/),
            ]);
          }
        },
      );
    }
  });

  test.each(MOVED)(
    "%s moves to a server and back: it answers the same, and what was committed meanwhile is there",
    async (role) => {
      const url = freshUrls(onTestFinished)[role] ?? "";
      const tenant = { ...scope, tenant: `moving-${role}` };
      const put = [NOTE];
      {
        await using moved = await embedded.open({ [role]: url });
        await moved.catchUp(scope);
        expect(await askQuestions(moved)).toEqual({ answers: expected, broken: [] });
        await moved.commit(tenant, [{ type: "redteam/session_evidence", put }]);
        await moved.catchUp(tenant);
      }
      await using back = await embedded.open({});
      await back.catchUp(scope);
      await back.catchUp(tenant);
      expect(await askQuestions(back)).toEqual({ answers: expected, broken: [] });
      expect(await back.count(tenant, "redteam/session_evidence")).toMatchObject({ count: 1 });
      expect(await differences(back, [role])).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

/** Without FerretDB where another server of its protocol is up: importing takes it minutes. */
function quickCandidates(candidates: ReturnType<typeof roleUrls>): ReturnType<typeof roleUrls> {
  const quick = candidates.document.filter(({ server }) => server !== "ferretdb");
  return quick.length === 0 ? candidates : { ...candidates, document: quick };
}

const NOTE = {
  fields: {
    id: "moved",
    session_id: "s",
    observed_at: "2026-03-04T05:06:07.000Z",
    model: "aurora",
    probe: "p.1",
    scores: [{ scorer: "refusal", type: "true_false", value: true }],
    vulnerability_ids: ["V-1"],
    labels: {},
    converters: [],
    latency_ms: 5,
    tokens: 10,
    prompt: { turns: [{ role: "user", content: "please" }] },
    response: { content: "no" },
  },
};
