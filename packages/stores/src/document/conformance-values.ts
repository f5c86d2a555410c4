import { expect, test } from "vitest";

import { parseFilter } from "@custody/contract/filter";
import { parseJson } from "@custody/contract/json";

import { makeBatch } from "../record-batch.ts";
import { PLAIN, SAMPLES, TENANT_A, deliver, idsOf } from "./conformance-fixture.ts";
import type { DocumentStore } from "./port.ts";

/** Names and texts made to break out of whatever an engine puts them into. */
const HOSTILE = [
  "'; DROP TABLE document; --",
  '" OR ""="',
  "'] | ['",
  "\\'; --",
  "a' UNION SELECT 1 --",
  "${jndi:ldap://x}",
  "{$gt: ''}",
  "MATCH (n) DETACH DELETE n",
  "NEAR(a b) OR *",
  "../../etc/passwd",
  "%00",
  "new\nline\r\ttab",
  "\u0001\u001f\u007f",
  "nul\u0000inside",
  "ünïcödé 日本語 😀 \u{10FFFF}",
  "e\u0301 is not \u00e9",
  "\u202eright to left",
  "\u2028\u2029",
  "-0",
  "9007199254740993",
  "null",
  "$",
  "$where",
  "$.kind",
  "kind[0]",
  "[]x",
  "#-1",
  "*",
  "?1",
  ":name",
  "constructor",
  "__proto__",
];

/** That values and names come back, and are found, exactly as they went in. */
export function describeValues(
  current: () => DocumentStore,
  order: () => "code-point" | "utf-16",
): void {
  const textsOf = async (ids: readonly string[]): Promise<readonly unknown[]> => {
    const query = { filter: parseFilter({}), limit: 1_000 };
    const { documents } = await current().find(TENANT_A, SAMPLES, query);
    const texts = new Map(documents.map(({ id, text }) => [id, text]));
    return ids.map((id) => parseJson(texts.get(id) ?? "null"));
  };

  test("hostile texts are kept as values and as ids, and found with and without an index", async () => {
    for (const collection of [SAMPLES, PLAIN]) {
      const records = HOSTILE.map((text) => ({
        id: text.replaceAll("\0", "0"),
        sequence: 1,
        fields: { kind: text, tags: [text], other: text },
      }));
      await current().apply(TENANT_A, collection, deliver(...records));
      for (const { id, fields } of records) {
        for (const filter of [
          { kind: fields.kind },
          { tags: fields.kind },
          { other: fields.kind },
        ]) {
          expect(await idsOf(current(), collection, filter)).toEqual([id]);
        }
      }
    }
    const values = await textsOf(["__proto__", "$where"]);
    expect(values).toEqual([
      { kind: "__proto__", tags: ["__proto__"], other: "__proto__" },
      { kind: "$where", tags: ["$where"], other: "$where" },
    ]);
  });

  test("hostile names are kept, and found where a path can name them", async () => {
    const named = HOSTILE.filter((name) => !/[.\0]|\[\]/.test(name) && !name.startsWith("$"));
    const records = named.map((name, index) => ({
      id: `n${index}`,
      sequence: 1,
      fields: JSON.parse(
        `{${JSON.stringify(name)}: {${JSON.stringify(name)}: ${index}}}`,
      ) as unknown,
    }));
    await current().apply(TENANT_A, SAMPLES, deliver(...records));
    for (const [index, name] of named.entries()) {
      const path = `${name}.${name}`;
      const found = await idsOf(
        current(),
        SAMPLES,
        JSON.parse(`{${JSON.stringify(path)}: ${index}}`),
      );
      expect([name, found]).toEqual([name, [`n${index}`]]);
    }
  });

  test("a name with dots is kept, and a path with dots means members within members", async () => {
    const fields = { "labels.owner": "flat", labels: { owner: "deep" }, $set: { a: 1 } };
    await current().apply(TENANT_A, SAMPLES, deliver({ id: "a", sequence: 1, fields }));
    expect(await textsOf(["a"])).toEqual([fields]);
    expect(await idsOf(current(), SAMPLES, { "labels.owner": "deep" })).toEqual(["a"]);
    expect(await idsOf(current(), SAMPLES, { "labels.owner": "flat" })).toEqual([]);
  });

  test("an index on a hostile path serves what it indexes", async () => {
    const paths = ["it's", 'quo"te', "back\\slash", "__proto__.x", "sp ace.日本"];
    const collection = {
      name: "lab/hostile",
      generation: 1,
      placements: { "lab/hostile": { indexes: [...paths.map((path) => [path]), ["l'ist[].\"x"]] } },
    };
    const text = `{"it's":1,"quo\\"te":2,"back\\\\slash":3,"__proto__":{"x":4},"sp ace":{"日本":5},
      "l'ist":[{"\\"x":6},{"\\"x":7}]}`;
    const batch = makeBatch("lab/hostile", [{ id: "a", sequence: 1, text }]);
    await current().apply(TENANT_A, collection, { batches: [batch], checkpoint: 1 });
    for (const [index, path] of [...paths, "l'ist.\"x", "l'ist.\"x"].entries()) {
      const filter = JSON.parse(`{${JSON.stringify(path)}: ${index + 1}}`) as unknown;
      expect([path, await idsOf(current(), collection, filter)]).toEqual([path, ["a"]]);
    }
  });

  test("numbers keep what they are: beyond 2^53, negative zero, fractions and exponents", async () => {
    const numbers = [
      "9007199254740993",
      "-9007199254740993",
      "0.1",
      "1e-7",
      "1.7976931348623157e308",
    ];
    const records = numbers.map((number) => ({
      id: number,
      sequence: 1,
      text: `{"size":${number}}`,
    }));
    const zero = { id: "zero", sequence: 1, text: '{"size":-0}' };
    const huge = { id: "huge", sequence: 1, text: '{"other":123456789012345678901234567890}' };
    const batch = makeBatch("lab/sample", [...records, zero, huge]);
    await current().apply(TENANT_A, SAMPLES, { batches: [batch], checkpoint: 1 });
    for (const number of numbers) {
      expect(await idsOf(current(), SAMPLES, { size: parseJson(number) })).toEqual([number]);
    }
    expect(await idsOf(current(), SAMPLES, { size: 0 })).toEqual(["zero"]);
    expect(await idsOf(current(), SAMPLES, { size: 9_007_199_254_740_992 })).toEqual([]);
    expect(await textsOf([...numbers, "huge"])).toEqual([
      { size: 9_007_199_254_740_993n },
      { size: -9_007_199_254_740_993n },
      { size: 0.1 },
      { size: 1e-7 },
      { size: 1.797_693_134_862_315_7e308 },
      { other: 123_456_789_012_345_678_901_234_567_890n },
    ]);
  });

  test("members named like those of every object are own members or absent", async () => {
    const text = '{"__proto__":{"kind":"x"},"constructor":1}';
    const batch = makeBatch("lab/sample", [
      { id: "a", sequence: 1, text },
      { id: "b", sequence: 1, text: "{}" },
    ]);
    await current().apply(TENANT_A, SAMPLES, { batches: [batch], checkpoint: 1 });
    expect(await idsOf(current(), SAMPLES, { "__proto__.kind": "x" })).toEqual(["a"]);
    expect(await idsOf(current(), SAMPLES, { constructor: { $exists: true } })).toEqual(["a"]);
    expect(await idsOf(current(), SAMPLES, { kind: "x" })).toEqual([]);
    expect(await idsOf(current(), SAMPLES, { hasOwnProperty: { $exists: true } })).toEqual([]);
  });

  test("texts are compared by code point, without folding or normalising", async () => {
    const kinds = ["Z", "a", "é", "e\u0301", "\uffee", "\u{1f600}"];
    const records = kinds.map((kind, index) => ({ id: `${index}`, sequence: 1, fields: { kind } }));
    await current().apply(TENANT_A, SAMPLES, deliver(...records));
    const sort = [{ path: "kind", direction: "asc" as const }];
    const sorted = await idsOf(current(), SAMPLES, {}, { sort });
    const isByUnits = order() === "utf-16";
    expect(sorted).toEqual(["0", "1", "3", "2", ...(isByUnits ? ["5", "4"] : ["4", "5"])]);
    expect(await idsOf(current(), SAMPLES, { kind: "A" })).toEqual([]);
    const beyond = await idsOf(current(), SAMPLES, { kind: { $gt: "\uffee" } });
    expect(beyond).toEqual(isByUnits ? [] : ["5"]);
  });

  test("ids are found again whatever their order as UTF-8 or UTF-16 is", async () => {
    const ids = ["\uffee", "😀"];
    for (const sequence of [1, 2]) {
      const records = ids.map((id) => ({ id, sequence, fields: { size: sequence } }));
      await current().apply(TENANT_A, SAMPLES, deliver(...records));
    }
    const ordered = order() === "utf-16" ? ids.toReversed() : ids;
    expect(await idsOf(current(), SAMPLES, { size: 2 })).toEqual(ordered);
    expect(await idsOf(current(), SAMPLES, {})).toEqual(ordered);
  });

  test("ids of 512 characters are kept and are different by their last", async () => {
    const id = "😀".repeat(255);
    await current().apply(
      TENANT_A,
      SAMPLES,
      deliver(
        { id: `${id}ab`, sequence: 1, fields: {} },
        { id: `${id}ac`, sequence: 1, fields: {} },
      ),
    );
    await current().apply(TENANT_A, SAMPLES, deliver({ id: `${id}ab`, sequence: 2 }));
    expect(await idsOf(current(), SAMPLES, {})).toEqual([`${id}ac`]);
  });

  test("a document of the greatest size is kept, one byte more is refused", async () => {
    const { documentBytesMax } = current().limits;
    const sized = (bytes: number) => ({ id: "a", text: `{"pad":"${"x".repeat(bytes - 10)}"}` });
    const over = makeBatch("lab/sample", [{ ...sized(documentBytesMax + 1), sequence: 1 }]);
    const applied = current().apply(TENANT_A, SAMPLES, { batches: [over], checkpoint: 1 });
    await expect(applied).rejects.toMatchObject({ name: "StoreError", code: "limit" });
    const greatest = makeBatch("lab/sample", [{ ...sized(documentBytesMax), sequence: 1 }]);
    await current().apply(TENANT_A, SAMPLES, { batches: [greatest], checkpoint: 1 });
    const page = await current().find(TENANT_A, SAMPLES, { filter: parseFilter({}), limit: 1 });
    expect(page.documents[0]?.text.length).toBe(documentBytesMax);
  });

  test("a document of the greatest depth is kept, one deeper is refused", async () => {
    const { depthMax } = current().limits;
    const deep = (levels: number) => `{"d":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    const over = makeBatch("lab/sample", [{ id: "a", sequence: 1, text: deep(depthMax + 1) }]);
    const applied = current().apply(TENANT_A, SAMPLES, { batches: [over], checkpoint: 1 });
    await expect(applied).rejects.toMatchObject({ name: "StoreError", code: "refused" });
    const greatest = makeBatch("lab/sample", [{ id: "a", sequence: 1, text: deep(depthMax) }]);
    await current().apply(TENANT_A, SAMPLES, { batches: [greatest], checkpoint: 1 });
    expect(await idsOf(current(), SAMPLES, {})).toEqual(["a"]);
  });
}
