import { describe, expect, test } from "vitest";

import { collect, sourceOf } from "../testing/read-text.ts";

async function lines(content: string | Uint8Array, pieceBytes = 3): Promise<string[]> {
  const source = await sourceOf(content, { pieceBytes });
  return (await collect(source.lines())).map(({ number, text }) => `${number}:${text}`);
}

describe("lines", () => {
  test("lines end in LF or CRLF, and a last line needs no end", async () => {
    expect(await lines("one\r\ntwo\n\nfour")).toEqual(["1:one", "2:two", "3:", "4:four"]);
    expect(await lines("one\n")).toEqual(["1:one"]);
    expect(await lines("")).toEqual([]);
    expect(await lines("\n")).toEqual(["1:"]);
  });

  test("characters that are no line ends stay in the line", async () => {
    expect(await lines("a\u2028b\u0085c\0d\re\n")).toEqual(["1:a\u2028b\u0085c\0d\re"]);
  });

  test("a character cut between pieces is whole", async () => {
    expect(await lines("é💥\nß", 1)).toEqual(["1:é💥", "2:ß"]);
  });

  test("a line of the most bytes is read, one more is refused with its number", async () => {
    const read = async (text: string): Promise<unknown[]> =>
      collect((await sourceOf(text, { limits: { lineBytesMax: 10 } })).lines());
    expect(await read(`a\n${"x".repeat(10)}\n`)).toHaveLength(2);
    await expect(read(`a\n${"x".repeat(11)}\n`)).rejects.toMatchObject({
      code: "limit",
      at: "line 2",
    });
  });
});

describe("encodings", () => {
  const text = 'é "💥"\nzwei';

  test("a UTF-8 byte order mark is taken off", async () => {
    expect(await lines(Buffer.from(`\ufeff${text}`), 1)).toEqual(['1:é "💥"', "2:zwei"]);
  });

  test("UTF-16 of either byte order is read by its mark", async () => {
    const little = Buffer.from(`\ufeff${text}`, "utf16le");
    const big = Buffer.from(little).swap16();
    for (const size of [1, 3, 1000]) {
      expect(await lines(little, size)).toEqual(['1:é "💥"', "2:zwei"]);
      expect(await lines(big, size)).toEqual(['1:é "💥"', "2:zwei"]);
    }
  });

  test.each([1, 2, 5, 1000])(
    "an invalid byte is refused with its place, cut at %i",
    async (size) => {
      const bytes = Buffer.concat([
        Buffer.from("one\nzwé "),
        Buffer.from([0xff]),
        Buffer.from("x\n"),
      ]);
      await expect(lines(bytes, size)).rejects.toMatchObject({
        name: "ImportError",
        code: "encoding",
        at: "line 2, column 6",
      });
    },
  );

  test("a character that the end cuts is refused", async () => {
    await expect(lines(Buffer.from("aé").subarray(0, 2))).rejects.toMatchObject({
      code: "encoding",
    });
    const wide = Buffer.from("\ufeffab", "utf16le");
    await expect(lines(wide.subarray(0, -1))).rejects.toMatchObject({ code: "encoding" });
  });

  test("surrogates and overlong forms in UTF-8 are refused", async () => {
    for (const hex of ["eda080", "c080", "f4908080"]) {
      await expect(lines(Buffer.from(hex, "hex"))).rejects.toMatchObject({ code: "encoding" });
    }
  });

  test("with leniency an invalid byte becomes U+FFFD", async () => {
    const bytes = Buffer.concat([Buffer.from("a"), Buffer.from([0xff]), Buffer.from("b")]);
    const source = await sourceOf(bytes, { isLenient: true });
    expect((await collect(source.text())).join("")).toBe("a\ufffdb");
  });
});

describe("a source", () => {
  test("shows its beginning, its plain name and whether that is all", async () => {
    const small = await sourceOf("{}", { name: "some/dir\\report.json.gz" });
    expect(small.head).toEqual({ name: "report.json", text: "{}", isWhole: true });
    const large = await sourceOf("x".repeat(65_537));
    expect(large.head.text).toHaveLength(65_536);
    expect(large.head.isWhole).toBe(false);
    const exact = await sourceOf("x".repeat(65_536));
    expect(exact.head.isWhole).toBe(true);
  });

  test("gives its beginning again when it is read, and only once", async () => {
    const source = await sourceOf("x".repeat(200_000), { pieceBytes: 1000 });
    expect((await collect(source.text())).join("")).toHaveLength(200_000);
    await expect(collect(source.text())).rejects.toThrow(/only once/);
  });

  test("closes what it reads from when it is not read to its end", async () => {
    let isClosed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(100_000, "line\n");
      } finally {
        isClosed = true;
      }
    }
    const { openSource } = await import("./source.ts");
    const source = await openSource(endless(), { name: "endless" });
    for await (const line of source.lines()) if (line.number === 50_000) break;
    expect(isClosed).toBe(true);
  });
});
