import { describe, expect, test } from "vitest";

import { parseJson } from "@custody/contract/json";

import { openFields, sealFields } from "./seal-fields.ts";
import type { Fields } from "./seal-fields.ts";

const place = { tenant: "acme", type: "redteam/session", id: "r1" };
const seal = { key: new Uint8Array(32).fill(3), nonce: new Uint8Array(12).fill(4) };

const fields = {
  name: "Ana",
  labels: { operator: "ana", team: "red" },
  turns: [{ content: "hello", role: "user" }, { role: "tool" }, { content: { text: "bye" } }],
  emails: ["a@x", "b@x"],
  score: 0.5,
};

describe("sealed fields", () => {
  test("personal fields leave the record and come back with the key", () => {
    const personal = ["name", "labels.operator", "turns[].content", "emails[]", "absent.one"];
    const { fields: left, sealed = "" } = sealFields(fields, personal, place, seal);
    expect(left).toEqual({
      labels: { team: "red" },
      turns: [{ role: "user" }, { role: "tool" }, {}],
      score: 0.5,
    });
    expect(sealed).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(openFields(left, sealed, place, seal.key)).toEqual(fields);
    expect(fields.turns[0]).toEqual({ content: "hello", role: "user" });
  });

  test("a whole record is sealed", () => {
    const { fields: left, sealed = "" } = sealFields(fields, "record", place, seal);
    expect(left).toEqual({});
    expect(openFields(left, sealed, place, seal.key)).toEqual(fields);
  });

  test("a path without brackets goes through arrays too, so that nothing stays behind", () => {
    const nested = { a: [[{ p: 1, q: 2 }], { p: 3 }, "text", null] };
    const { fields: left, sealed = "" } = sealFields(nested, ["a.p"], place, seal);
    expect(left).toEqual({ a: [[{ q: 2 }], {}, "text", null] });
    expect(openFields(left, sealed, place, seal.key)).toEqual(nested);
  });

  test("fields within each other are sealed in either order", () => {
    for (const personal of [
      ["labels", "labels.operator"],
      ["labels.operator", "labels"],
    ]) {
      const { fields: left, sealed = "" } = sealFields(fields, personal, place, seal);
      expect(Object.keys(left)).not.toContain("labels");
      expect(openFields(left, sealed, place, seal.key)).toEqual(fields);
    }
  });

  test("awkward names and values survive", () => {
    const text =
      '{"__proto__":{"a":1},"a/b~c":[1],"":{"constructor":2},"n":9007199254740993,"u":"\\u0000→😀","k":null}';
    const awkward = parseJson(text) as Fields;
    const { fields: left, sealed = "" } = sealFields(awkward, "record", place, seal);
    const opened = openFields(left, sealed, place, seal.key);
    expect(Object.keys(opened).sort()).toEqual(Object.keys(awkward).sort());
    expect(Object.getOwnPropertyDescriptor(opened, "__proto__")?.value).toEqual({ a: 1 });
    expect(Object.getPrototypeOf(opened)).toBe(Object.prototype);
    expect(opened["n"]).toBe(9007199254740993n);
    expect(opened["a/b~c"]).toEqual([1]);
    expect(opened["u"]).toBe("\u0000→😀");
    const below = sealFields(awkward, ["__proto__.a", "n"], place, seal);
    expect(Object.getOwnPropertyDescriptor(below.fields, "__proto__")?.value).toEqual({});
    expect(openFields(below.fields, below.sealed ?? "", place, seal.key)).toEqual(awkward);
  });

  test("a record without personal fields is left as it is", () => {
    expect(sealFields(fields, ["nobody"], place, seal)).toEqual({ fields });
  });

  test("they open only in their own record, unaltered, with their own key", () => {
    const { fields: left, sealed = "" } = sealFields(fields, ["name"], place, seal);
    const damaged = expect.objectContaining({ code: "damaged" }) as Error;
    for (const other of [{ tenant: "other" }, { type: "redteam/other" }, { id: "r2" }])
      expect(() => openFields(left, sealed, { ...place, ...other }, seal.key)).toThrow(damaged);
    expect(() => openFields(left, sealed, place, new Uint8Array(32))).toThrow(damaged);
    const bytes = Buffer.from(sealed, "base64url");
    for (let at = 0; at < bytes.byteLength; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => openFields(left, changed.toString("base64url"), place, seal.key)).toThrow(
        damaged,
      );
      const short = bytes.subarray(0, at).toString("base64url");
      expect(() => openFields(left, short, place, seal.key)).toThrow(damaged);
    }
  });
});
