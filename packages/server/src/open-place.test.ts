import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { makeTemporaryDirectory } from "@custody/stores/testing/temporary-directory";
import { expect, test } from "vitest";

import { isPlaceWithin, openPlace, placeUrl, withoutSecrets } from "./open-place.ts";

const scope = { tenant: "_system", actor: "service:test", deadline: Infinity };

test("a path, a relative path and a file URL name the same directory", async () => {
  await using home = await makeTemporaryDirectory();
  await using made = await openPlace(join(home.path, "copies"));
  await made.put(scope, "k", Uint8Array.of(7));
  for (const url of ["copies", "./copies", pathToFileURL(join(home.path, "copies")).href]) {
    await using place = await openPlace(url, { directory: home.path });
    expect(await place.read(scope, "k")).toEqual(Uint8Array.of(7));
  }
});

test("a directory that must be there is not made", async () => {
  await using home = await makeTemporaryDirectory();
  const missing = openPlace("none", { directory: home.path, mustExist: true });
  await expect(missing).rejects.toMatchObject({ code: "not-found", at: join(home.path, "none") });
});

test("what is no place is refused, without showing its credentials", async () => {
  for (const url of ["ftp://ana:secret@host/x", "mongodb://host", "", "file://host/x"]) {
    const error: unknown = await openPlace(url).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: "usage" });
    expect(String(error)).not.toContain("secret");
  }
});

test("a place is kept and shown without credentials and options, and relative to nothing", () => {
  expect(withoutSecrets("s3://id:secret@host:9000/bucket/keys?region=eu")).toBe(
    "s3://host:9000/bucket/keys",
  );
  expect(placeUrl("copies", "/srv/ana")).toBe("/srv/ana/copies");
  expect(placeUrl("s3://bucket/keys", "/srv/ana")).toBe("s3://bucket/keys");
});

test("a place inside a directory is known as such", () => {
  expect(isPlaceWithin("/data", "/data")).toBe(true);
  expect(isPlaceWithin("/data", "file:///data/copies")).toBe(true);
  expect(isPlaceWithin("/data", "/data-copies")).toBe(false);
  expect(isPlaceWithin("/data", "s3://data/copies")).toBe(false);
});
