import { afterEach, beforeEach, expect, test } from "vitest";

import { StoreError } from "@custody/stores/errors";
import { makeBatch } from "@custody/stores/record-batch";

import { openInstallation, scope } from "../../testing/installation.ts";
import type { Installation } from "../../testing/installation.ts";
import { attempt, attempts } from "../../testing/sample-types.ts";
import type { ProjectedRole, ProjectedStoresByRole, Stores } from "../../stores.ts";
import type { ReconcileOptions } from "../reconcile.ts";

/** Methods of the search store that do not answer. */
const away = new Set<string>();

/** The stores, of which the search store answers only some calls. */
function withSearchAway(stores: Stores): Stores {
  return {
    ...stores,
    projected: async <Role extends ProjectedRole>(role: Role) => {
      const store = await stores.projected(role);
      return role === "search" ? answeringSome<ProjectedStoresByRole[Role]>(store) : store;
    },
  };
}

function answeringSome<Store extends object>(store: Store): Store {
  return new Proxy(store, {
    get: (_, name) => {
      const member: unknown = Reflect.get(store, name, store);
      if (typeof member !== "function") return member;
      return (...given: readonly unknown[]): unknown => {
        if (away.has(String(name)))
          return Promise.reject(new StoreError("unavailable", "search did not answer"));
        return Reflect.apply(member, store, given) as unknown;
      };
    },
  });
}

let installation: Installation;
beforeEach(async () => {
  away.clear();
  installation = await openInstallation({ wrapStores: withSearchAway });
  for (const tenant of ["acme", "beta"]) {
    const put = ["r1", "r2"].map((id) => ({ fields: attempt(id) }));
    await installation.custody.commit({ ...scope, tenant }, [{ type: attempts.name, put }]);
    await installation.custody.catchUp({ ...scope, tenant });
  }
  const documents = await installation.stores.projected("document");
  const collection = {
    name: attempts.name,
    generation: 1,
    placements: { [attempts.name]: attempts.placements.document ?? {} },
  };
  const lost = makeBatch(attempts.name, [{ id: "r2", sequence: 1 }]);
  await documents.repair({ ...scope, tenant: "beta" }, collection, lost);
});
afterEach(() => installation[Symbol.asyncDispose]());

const ways: readonly (readonly [string, ReconcileOptions])[] = [
  ["side by side", {}],
  ["one after the other", { throttle: { share: 1 } }],
  ["within a time", { since: 0 }],
  ["in a run that can be continued", { resume: true }],
];

for (const [how, options] of ways) {
  test.each(["checkpoint", "digest list"])(
    `a store that does not answer %s keeps back its own projections alone: ${how}`,
    async (methods) => {
      for (const method of methods.split(" ")) away.add(method);
      const asked = { roles: ["document", "search"], allTenants: true, ...options } as const;
      const report = await installation.custody.reconcile(scope, asked);
      const own = report.notCompared.filter(({ name }) => name === attempts.name);
      const reason = "search did not answer";
      const left = { role: "search", name: attempts.name, reason };
      expect(own).toEqual([
        { tenant: "acme", ...left },
        { tenant: "beta", ...left },
      ]);
      expect(report.ok).toBe(false);
      expect(new Set(report.notCompared.map(({ role }) => role))).toEqual(new Set(["search"]));
      const compared = report.projections.filter(({ name }) => name === attempts.name);
      expect(compared.map(({ tenant, role, differences }) => [tenant, role, differences])).toEqual([
        ["acme", "document", 0],
        ["beta", "document", 1],
      ]);
      away.clear();
      const again = await installation.custody.reconcile(scope, { ...asked, repair: true });
      expect([again.ok, again.notCompared]).toEqual([true, []]);
    },
  );
}

test("that a store did not answer is written down in the journal of its tenant", async () => {
  away.add("checkpoint");
  await installation.custody.reconcile(scope, { roles: ["search"] });
  const { records } = await installation.custody.find(scope, "custody/audit_logs", {
    filter: { action: "reconcile" },
  });
  expect(records[0]?.fields["metadata"]).toMatchObject({
    not_compared: expect.arrayContaining([
      { role: "search", name: attempts.name, reason: "search did not answer" },
    ]) as unknown,
  });
});
