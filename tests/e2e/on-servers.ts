import { randomBytes } from "node:crypto";

import { describe, test } from "vitest";

import { openS3BlobStore } from "@custody/stores/blob/s3";
import type { BlobStore } from "@custody/stores/blob/port";
import { scopeFor } from "@custody/stores/testing/scope";

import { dropInstallation } from "../../testbed/drop-installation.ts";
import { chosenUrls, missingServers, roleUrls, roleVariables } from "../../testbed/role-urls.ts";
import type { InstallationUrls } from "../../testbed/role-urls.ts";
import { makeProgram, until } from "./custody-process.ts";
import type { Damages, Installation, OnEnd } from "./custody-process.ts";

/** Tests that need a server for every role; without one they are skipped, and its name is in theirs. */
export function describeOnServers(tests: () => void): void {
  const missing = missingServers(roleUrls(process.env, "custody"));
  const lack = missing.length === 0 ? "" : `: there is none for ${missing.join(", ")}`;
  describe.skipIf(missing.length > 0)(`on servers for every role${lack}`, () => {
    // The body runs to find its tests, also where they are skipped; it could not read an address.
    if (missing.length > 0) test("all servers are given for it", () => undefined);
    else tests();
  });
}

/** Where the roles of an installation lie that has not been before, on every server that is up. */
export function freshCandidates(): ReturnType<typeof roleUrls> {
  return roleUrls(process.env, `e2e${randomBytes(6).toString("hex")}`);
}

// Ten servers, each with a database, a schema or an index for every record type.
const DROP_MS = 120_000;

/** The URLs of an installation that has not been before, with every role on a server; dropped in the end. */
export function freshUrls(onEnd: OnEnd): InstallationUrls {
  const urls = chosenUrls(freshCandidates());
  onEnd(() => dropInstallation(urls), DROP_MS);
  return urls;
}

/** Makes an installation with every role on a server. */
export async function makeServerInstallation(onEnd: OnEnd): Promise<Installation> {
  const urls = freshUrls(onEnd);
  return { ...(await makeProgram(onEnd, roleVariables(urls))), ...damagesToServers(urls) };
}

function damagesToServers(urls: InstallationUrls): Damages {
  const { blob = "", document = "" } = urls;
  return {
    alterSegment: (at) => withBlobStore(blob, (store) => alterSegment(store, at)),
    loseDocuments: () => dropInstallation({ document }),
    untilImporting: () =>
      withBlobStore(blob, (store) =>
        // The lines of what is read are written in segments before the import is committed.
        until("an import", async () => {
          const written = await store.list(scopeFor("default"), "", { limit: 1 });
          return written.length > 0;
        }),
      ),
  };
}

async function withBlobStore<Result>(
  url: string,
  work: (store: BlobStore) => Promise<Result>,
): Promise<Result> {
  await using store = await openS3BlobStore({ url });
  return await work(store);
}

/** Turns over one bit of a tenant's first segment; answers the segment's key. */
async function alterSegment(store: BlobStore, at: number): Promise<string> {
  const scope = scopeFor("default");
  const [segment] = await store.list(scope, "segments/", { limit: 1 });
  const key = segment?.key ?? "no segment";
  const bytes = Buffer.from((await store.read(scope, key)) ?? []);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await store.put(scope, key, bytes);
  return key;
}
