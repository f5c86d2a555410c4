import { describe, expect, test } from "vitest";

import { dataSlice, decodeLine, encodeLine, LINE_BYTES_MAX } from "./line.ts";
import { joinLines, lineAt, lineCount, LineWriter, sliceLines, splitLines } from "./lines.ts";

const salt = Uint8Array.from({ length: 16 }, (_, index) => index);
const SALT_TEXT = "AAECAwQFBgcICQoLDA0ODw";
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
const bytes = (line: string): Uint8Array => Buffer.from(line);

describe("line", () => {
  test("members stand in one order, and the fields come last", () => {
    const line = encodeLine({
      data: '{"b":1,"a":2}',
      sealed: "c2VhbGVk",
      subject: "s1",
      observedAt: 1_767_600_000_123,
      salt,
      id: "r1",
    });
    expect(text(line)).toBe(
      `{"id":"r1","salt":"${SALT_TEXT}","at":"2026-01-05T08:00:00.123Z","subject":"s1","sealed":"c2VhbGVk","data":{"b":1,"a":2}}`,
    );
  });

  test("a deletion has no fields", () => {
    const line = encodeLine({ id: "r1", salt });
    expect(text(line)).toBe(`{"id":"r1","salt":"${SALT_TEXT}"}`);
    expect(dataSlice(line)).toBeUndefined();
    expect(decodeLine(line)).toEqual({ id: "r1", salt: Buffer.from(salt) });
  });

  test("what was put in comes out, whatever the id and the fields hold", () => {
    const ids = ['"', "\\", '\\"', '","data":{', "ünï→😀", "\u0001\u2028\n", "a".repeat(512)];
    for (const id of ids) {
      for (const data of ["{}", '{"a":"}"}', `{"x":${JSON.stringify(id)}}`, '{"a":{"b":[1]}}']) {
        const line = encodeLine({ id, salt, subject: id, sealed: "", data, observedAt: -1 });
        expect(text(dataSlice(line))).toBe(data);
        const decoded = decodeLine(line);
        expect({ ...decoded, salt: text(decoded.salt), data: text(decoded.data) }).toEqual({
          id,
          subject: id,
          sealed: "",
          observedAt: -1,
          data,
          salt: text(salt),
        });
      }
    }
  });

  test("fields given as bytes or as text make the same line", () => {
    const data = '{"a":"ü"}';
    expect(encodeLine({ id: "r", salt, data: bytes(data) })).toEqual(
      encodeLine({ id: "r", salt, data }),
    );
  });

  test.each([
    ["nothing", ""],
    ["another first member", `{"salt":"${SALT_TEXT}","id":"r"}`],
    ["a salt too short", `{"id":"r","salt":"AAECAwQFBgcICQoLDA0OD"}`],
    ["a salt in another spelling of the same bytes", `{"id":"r","salt":"AAECAwQFBgcICQoLDA0ODx"}`],
    ["fields before the subject", `{"id":"r","salt":"${SALT_TEXT}","data":{},"subject":"s"}x`],
    ["an unknown member", `{"id":"r","salt":"${SALT_TEXT}","more":1}`],
    ["fields that are no object", `{"id":"r","salt":"${SALT_TEXT}","data":[]}`],
    ["no closing brace", `{"id":"r","salt":"${SALT_TEXT}","data":{}`],
    ["a time that is none", `{"id":"r","salt":"${SALT_TEXT}","at":"yesterday","data":{}}`],
    ["an id that does not end", `{"id":"r\\"`],
    ["an id with a raw control character", `{"id":"\u0001","salt":"${SALT_TEXT}"}`],
    ["sealed fields that are not base64url", `{"id":"r","salt":"${SALT_TEXT}","sealed":"a+b"}`],
  ])("%s is refused as damaged", (_, line) => {
    expect(() => decodeLine(bytes(line))).toThrow(expect.objectContaining({ code: "damaged" }));
  });

  test("a salt of another length, and sealed fields that are no base64url, are not written", () => {
    expect(() => encodeLine({ id: "r", salt: new Uint8Array(15) })).toThrow(/16 bytes, not 15/);
    expect(() => encodeLine({ id: "r", salt, sealed: '"' })).toThrow(/not base64url/);
  });
});

describe("lines", () => {
  test("a writer gives the same bytes as encoding each line, each followed by a line feed", () => {
    const parts = [
      { id: "a", salt, data: '{"n":1}' },
      { id: "ü", salt },
      { id: "c", salt, data: bytes(`{"t":"${"long→".repeat(40_000)}"}`), observedAt: 5 },
      { id: "d", salt, data: "{}", observedAt: Number.NaN },
    ];
    const writer = new LineWriter(16);
    for (const part of parts) writer.add(part);
    const lines = writer.take();
    expect(lineCount(lines)).toBe(4);
    expect(lines).toEqual(joinLines(parts.map(encodeLine)));
    expect(text(lineAt(lines, 1))).toBe(`{"id":"ü","salt":"${SALT_TEXT}"}`);
    expect(splitLines(lines.text, 4)).toEqual(lines);
    expect(text(lineAt(sliceLines(lines, 1, 3), 0))).toBe(text(lineAt(lines, 1)));
    expect(lines.text.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  test("a line at the limit is taken; one byte more is refused and leaves no trace", () => {
    const writer = new LineWriter();
    const frame = encodeLine({ id: "r", salt, data: '{"t":""}' }).byteLength;
    const fill = "x".repeat(LINE_BYTES_MAX - frame);
    writer.add({ id: "r", salt, data: `{"t":"${fill}"}` });
    expect(() => writer.add({ id: "r", salt, data: `{"t":"${fill}x"}` })).toThrow(
      expect.objectContaining({ code: "invalid" }),
    );
    expect(writer.count).toBe(1);
    expect(writer.bytes).toBe(LINE_BYTES_MAX + 1);
  });

  test("text with a broken end or another number of lines is damaged", () => {
    expect(() => splitLines(bytes("a\nb"))).toThrow(/line feed/);
    expect(() => splitLines(bytes("a\nb\n"), 3)).toThrow(/2 lines where 3/);
    expect(lineCount(splitLines(new Uint8Array(0)))).toBe(0);
  });
});
