import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { initCustody, openCustody } from "./compose.ts";
import { makeTemporaryDirectory } from "@custody/stores/testing/temporary-directory";

const FOREIGN = { name: "CoreError", code: "conflict" };

async function makePlace(root: string, name: string) {
  const place = { dataDirectory: join(root, name), keyFile: join(root, `${name}.key`) };
  await initCustody(place);
  return place;
}

test("a journal that is not the data directory's own is refused, and named", async () => {
  await using root = await makeTemporaryDirectory();
  const place = await makePlace(root.path, "ours");
  await (await openCustody(place))[Symbol.asyncDispose]();
  await rm(join(place.dataDirectory, "journal.sqlite"));
  await rm(join(place.dataDirectory, "journal.sqlite-wal"), { force: true });
  await expect(openCustody(place)).rejects.toMatchObject({
    ...FOREIGN,
    message:
      "the journal of this data directory is in the data directory itself, and the one given has never been used with it; check CUSTODY_RELATIONAL_URL",
  });
});

test("opening again finds what the first opening signed", async () => {
  await using root = await makeTemporaryDirectory();
  const place = await makePlace(root.path, "ours");
  await (await openCustody(place))[Symbol.asyncDispose]();
  const marker = await readFile(join(place.dataDirectory, "custody.json"), "utf8");
  expect(JSON.parse(marker)).toMatchObject({
    isSigned: true,
    truth: { journal: "the data directory itself", blobs: "the data directory itself" },
  });
  await (await openCustody(place))[Symbol.asyncDispose]();
  expect(await readFile(join(place.dataDirectory, "custody.json"), "utf8")).toBe(marker);
});
