import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";

import { parseJson, stringifyJson } from "@custody/contract/json";
import { defineRecordType } from "@custody/contract/record-type";

import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";

const odd = defineRecordType({
  name: "sample/odd",
  version: 1,
  title: "Something with members of any name",
  mode: "append",
  schema: z.object({
    id: z.string(),
    inner: z.looseObject({ a: z.number() }),
    free: z.record(z.string(), z.unknown()),
    level: z.string().default("low"),
  }),
  id: { field: "id" },
  placements: { document: {} },
});

let installation: Installation;
beforeEach(async () => {
  const pack = { name: "sample", types: [odd], importers: [], summaries: [] };
  installation = await openInstallation({ packs: [pack] });
});
afterEach(() => installation[Symbol.asyncDispose]());

test("members named __proto__ and members that the schema does not name come back as they were given", async () => {
  const text =
    '{"id":"o1","__proto__":{"outer":1},"inner":{"a":1,"__proto__":[2]},' +
    '"free":{"__proto__":{"deep":{"__proto__":"3"}},"constructor":"4"},"more":9007199254740993}';
  const { custody } = installation;
  await custody.commit(scope, [{ type: odd.name, put: [{ fields: parseJson(text) }] }]);
  const got = await custody.get(scope, odd.name, "o1");
  expect(stringifyJson(got?.fields)).toBe(text);
  const [found] = (await custody.find(scope, odd.name)).records;
  expect(parseJson(stringifyJson(found?.fields))).toStrictEqual(parseJson(text));
  expect(Object.getOwnPropertyDescriptor(found?.fields ?? {}, "__proto__")?.value).toEqual({
    outer: 1,
  });
  expect(Object.hasOwn({}, "outer")).toBe(false);
});

test("a default of the schema is not written into a record", async () => {
  const { custody } = installation;
  const fields = { id: "o2", inner: { a: 1 }, free: {} };
  await custody.commit(scope, [{ type: odd.name, put: [{ fields }] }]);
  expect((await custody.get(scope, odd.name, "o2"))?.fields).toEqual(fields);
});
