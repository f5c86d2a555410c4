import { describe, expect, test } from "vitest";

import { checkRecordId, checkTenant, ID_LENGTH_MAX, uuidV7 } from "./ids.ts";

const refused = { name: "ContractError", code: "invalid-id" };

describe("ids", () => {
  test.each(["a", "0", "tenant-a", "a".repeat(63), "_system"])("%s is a tenant", (tenant) => {
    expect(checkTenant(tenant)).toBe(tenant);
  });

  test.each(["", "-a", "A", "a_b", "a.b", "..", "a/b", "a\0", "a\n", "a".repeat(64), "_systems"])(
    "%j is no tenant",
    (tenant) => {
      expect(() => checkTenant(tenant)).toThrow(expect.objectContaining(refused));
    },
  );

  test("a record id at the limit is taken, one character more is refused", () => {
    expect(checkRecordId("x".repeat(ID_LENGTH_MAX))).toHaveLength(512);
    expect(() => checkRecordId("x".repeat(ID_LENGTH_MAX + 1))).toThrow(
      expect.objectContaining(refused),
    );
  });

  test("any other text is an id, unless it has NUL or half a character", () => {
    for (const id of ["é", "💥", "a b'; DROP TABLE", "../x", "\n"])
      expect(checkRecordId(id)).toBe(id);
    for (const id of ["", "a\0b", "\ud800"]) {
      expect(() => checkRecordId(id)).toThrow(expect.objectContaining(refused));
    }
  });

  test("a UUIDv7 has the time, the version and the variant in their places", () => {
    // The example of RFC 9562, appendix A.6.
    const random = Buffer.from("0cc318c4dc0c0c07398f", "hex");
    expect(uuidV7(1645557742000, random)).toBe("017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    expect(uuidV7(0, Buffer.alloc(10, 0xff))).toBe("00000000-0000-7fff-bfff-ffffffffffff");
  });

  test("making an id leaves the random bytes as they were", () => {
    const random = Buffer.alloc(10, 0xff);
    uuidV7(0, random);
    expect(random).toEqual(Buffer.alloc(10, 0xff));
  });
});
