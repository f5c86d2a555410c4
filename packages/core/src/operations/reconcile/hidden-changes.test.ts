import { afterEach, beforeEach, expect, test } from "vitest";

import type { Collection, ProjectedStore } from "@custody/stores/projected-store";
import { makeBatch } from "@custody/stores/record-batch";
import { seededRandom } from "@custody/stores/testing/seeded-random";

import type { Difference, ProjectionCompared } from "../../reports.ts";
import type { ProjectedRole, Stores } from "../../stores.ts";
import { openInstallation, scope } from "../../testing/installation.ts";
import type { Installation } from "../../testing/installation.ts";
import { note, notes, ownedPack } from "../../testing/owned-types.ts";
import { assets, attempt, attempts, samplePack } from "../../testing/sample-types.ts";

/** The collections that projectors really wrote, by role and name. */
const collections = new Map<string, Collection<unknown>>();

function watched(stores: Stores): Stores {
  const projected: Stores["projected"] = async (role) => {
    const store = await stores.projected(role);
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        if (name !== "apply") return member.bind(target) as unknown;
        return (...args: readonly [unknown, Collection<unknown>, unknown]) => {
          collections.set(`${role} ${args[1].name}`, args[1]);
          return Reflect.apply(member, target, args) as unknown;
        };
      },
    });
  };
  return { ...stores, projected };
}

const ATTEMPTS = 200;
const ATTEMPTS_A_COMMIT = 20;
const ASSETS = 40;

let installation: Installation;
beforeEach(async () => {
  collections.clear();
  installation = await openInstallation({ packs: [samplePack], wrapStores: watched });
  const { custody } = installation;
  for (let from = 0; from < ATTEMPTS; from += ATTEMPTS_A_COMMIT) {
    const put = Array.from({ length: ATTEMPTS_A_COMMIT }, (_, at) => attempt(`r${from + at}`));
    await custody.commit(scope, [{ type: attempts.name, put: put.map((fields) => ({ fields })) }]);
  }
  const asset = (at: number, risk: number) => ({ fields: { name: `r${at}`, owner: "ana", risk } });
  const all = Array.from({ length: ASSETS }, (_, at) => asset(at, at));
  await custody.commit(scope, [{ type: assets.name, put: all }]);
  await custody.commit(scope, [
    { type: assets.name, put: all.slice(0, 9).map((_, at) => asset(at, 99)) },
  ]);
  await custody.catchUp(scope);
});
afterEach(() => installation[Symbol.asyncDispose]());

interface Target {
  readonly role: ProjectedRole;
  readonly type: string;
  readonly records: number;
  /** Fields as the store does not hold them. */
  readonly altered: (id: string) => Record<string, unknown>;
  /** The entry that a record's live version came in. */
  readonly sequenceOf: (at: number) => number;
}

const ATTEMPT: Omit<Target, "role"> = {
  type: attempts.name,
  records: ATTEMPTS,
  altered: (id) => attempt(id, { model: "borealis", prompt: "another", score: 0.25 }),
  sequenceOf: (at) => 1 + Math.floor(at / ATTEMPTS_A_COMMIT),
};
const ASSET: Omit<Target, "role"> = {
  type: assets.name,
  records: ASSETS,
  altered: (id) => ({ name: id, owner: "bo", risk: 1_000 }),
  sequenceOf: (at) => (at < 9 ? 12 : 11),
};
const TARGETS: readonly Target[] = [
  { role: "document", ...ATTEMPT },
  { role: "search", ...ATTEMPT },
  { role: "series", ...ATTEMPT },
  { role: "analytics", ...ATTEMPT },
  { role: "document", ...ASSET },
  { role: "relational", ...ASSET },
];

interface HiddenChange {
  readonly kind: Difference["kind"];
  readonly id: string;
  readonly sequence: number;
  readonly text?: string;
}

/** So many changes of random kinds, each of another record. */
function hiddenChanges(target: Target, count: number, random: () => number): HiddenChange[] {
  const places = Array.from({ length: target.records }, (_, at) => at)
    .map((at) => [random(), at] as const)
    .sort(([left], [right]) => left - right)
    .slice(0, count);
  return places.map(([, at]) => {
    const sequence = target.sequenceOf(at);
    const altered = (id: string) => JSON.stringify(target.altered(id));
    const kinds: readonly HiddenChange[] = [
      { kind: "missing", id: `r${at}`, sequence },
      { kind: "altered", id: `r${at}`, sequence, text: altered(`r${at}`) },
      {
        kind: "stale",
        id: `r${at}`,
        sequence: sequence === 1 ? 2 : sequence - 1,
        text: altered(`r${at}`),
      },
      { kind: "extra", id: `ghost${at}`, sequence, text: altered(`ghost${at}`) },
    ];
    return kinds[Math.floor(random() * kinds.length)] as HiddenChange;
  });
}

async function hide(target: Target, changes: readonly HiddenChange[]): Promise<void> {
  const store: ProjectedStore<never> = await installation.stores.projected(target.role);
  const collection = collections.get(`${target.role} ${target.type}`) as Collection<never>;
  await store.repair(
    scope,
    collection,
    makeBatch(
      target.type,
      changes.map(({ id, sequence, text }) => ({
        id,
        sequence,
        ...(text === undefined ? {} : { text }),
        observedAt: Date.parse("2026-03-04T05:06:07.000Z"),
      })),
    ),
  );
}

const oneOf = (
  projections: readonly ProjectionCompared[],
  { role, type }: Target,
): ProjectionCompared | undefined =>
  projections.find((one) => one.role === role && one.name === type);

const named = (changes: readonly Pick<Difference, "id" | "kind">[]): readonly string[] =>
  changes.map(({ kind, id }) => `${kind} ${id}`).sort();

const seed = Math.trunc(Math.random() * 2 ** 31);

test.each(TARGETS)(
  `K hidden changes of $type in $role are found as those K, and repaired as those K: seed ${seed}`,
  async (target) => {
    const { custody } = installation;
    const random = seededRandom(seed ^ target.role.length);
    for (let round = 0; round < 4; round += 1) {
      const changes = hiddenChanges(
        target,
        1 + Math.floor(random() * target.records * 0.5),
        random,
      );
      await hide(target, changes);
      const isDeep = round % 2 === 1;
      const found = await custody.reconcile(scope, { roles: [target.role], deep: isDeep });
      const before = oneOf(found.projections, target);
      expect(found.ok).toBe(false);
      expect(named(before?.examples ?? [])).toEqual(named(changes));
      expect(before?.differences).toBe(changes.length);
      // In pages with rests between them, as a schedule does it.
      const repaired = await custody.reconcile(scope, {
        roles: [target.role],
        repair: true,
        throttle: { share: 0.5 },
      });
      const after = oneOf(repaired.projections, target);
      expect([after?.differences, after?.repaired]).toEqual([changes.length, changes.length]);
      expect(after?.mended).toBe("rows");
      expect(repaired.ok).toBe(true);
      expect((await custody.reconcile(scope, { roles: [target.role] })).ok).toBe(true);
    }
  },
  60_000,
);

test("a hidden change in an owner's file is found, a row moved to another owner's too", async () => {
  await using owned = await openInstallation({ packs: [ownedPack], wrapStores: watched });
  const { custody, stores } = owned;
  const put = ["n1", "n2", "n3"].map((id, at) => ({ fields: note(id, at < 2 ? "ana" : "bo") }));
  await custody.commit(scope, [{ type: notes.name, put }]);
  await custody.catchUp(scope);
  expect((await custody.reconcile(scope)).ok).toBe(true);
  const documents = await stores.projected("document");
  const collection = collections.get(`document ${notes.name}`) as Collection<object>;
  const moved = { id: "n1", sequence: 1, text: JSON.stringify(note("n1", "ana")) };
  await documents.repair(
    { ...scope, owner: "ana" },
    collection,
    makeBatch(notes.name, [{ id: "n1", sequence: 1 }]),
  );
  await documents.repair({ ...scope, owner: "bo" }, collection, makeBatch(notes.name, [moved]));
  const found = await custody.reconcile(scope, { roles: ["document"] });
  const [report] = found.projections.filter(({ name }) => name === notes.name);
  expect(report?.examples.map(({ kind, id }) => [kind, id])).toEqual([["altered", "n1"]]);
  const repaired = await custody.reconcile(scope, { roles: ["document"], repair: true });
  expect(repaired.ok).toBe(true);
  expect((await custody.reconcile(scope, { roles: ["document"], deep: true })).ok).toBe(true);
});
