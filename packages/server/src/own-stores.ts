import { SYSTEM_TENANT } from "@custody/contract/ids";
import { CoreError } from "@custody/core/errors";
import type { Stores } from "@custody/core/stores";
import type { Scope } from "@custody/stores/scope";

import { requireDataDirectory, rewriteDataDirectory } from "./data-directory.ts";
import type { DataDirectory } from "./data-directory.ts";
import type { EngineUrls } from "./open-stores.ts";

const STATE = "installation";
const BLOB = "installation";
const scope: Scope = { tenant: SYSTEM_TENANT, actor: "service:custody", deadline: Infinity };

/**
 * Checks that the journal and the blob store belong to the data directory, as a forgotten or mistyped
 * URL would begin a new, empty journal, and another installation's would be written under wrong keys.
 * The first opening signs them.
 *
 * @throws CoreError `conflict` saying where the journal or the blobs were.
 */
export async function requireOwnStores(dataDirectory: string, parts: OwnStoreParts): Promise<void> {
  const marker = named(dataDirectory, parts);
  const journal = await parts.stores.journal();
  const blob = await parts.stores.blob();
  const signature = await blob.read(scope, BLOB);
  const wanted = { installation: marker.installation, isSigned: marker.isSigned === true };
  const signsJournal = !isOwn(await journal.state(scope, STATE), wanted, {
    what: "journal",
    variable: "CUSTODY_RELATIONAL_URL",
    place: marker.truth.journal,
  });
  const signsBlobs = !isOwn(signature && Buffer.from(signature).toString("utf8"), wanted, {
    what: "blob store",
    variable: "CUSTODY_BLOB_URL",
    place: marker.truth.blobs,
  });
  if (signsJournal) await journal.putState(scope, STATE, marker.installation);
  if (signsBlobs) await blob.put(scope, BLOB, Buffer.from(marker.installation));
  if (!wanted.isSigned) rewriteDataDirectory(dataDirectory, { ...marker, isSigned: true });
}

interface OwnStoreParts {
  readonly stores: Stores;
  readonly engines: EngineUrls;
  readonly random: (length: number) => Uint8Array;
}

/** The data directory's marker with a name; a crash before the stores are signed leaves the same name. */
function named(
  dataDirectory: string,
  { engines, random }: OwnStoreParts,
): DataDirectory & Required<Pick<DataDirectory, "installation" | "truth">> {
  const marker = requireDataDirectory(dataDirectory);
  const { installation, truth } = marker;
  if (installation !== undefined && truth !== undefined) return { ...marker, installation, truth };
  const first = {
    ...marker,
    installation: Buffer.from(random(16)).toString("hex"),
    truth: { journal: placeOf(engines.relational), blobs: placeOf(engines.blob) },
  };
  rewriteDataDirectory(dataDirectory, first);
  return first;
}

/** Whether a store bears the installation's name; false when it is to be signed. */
function isOwn(
  found: string | undefined,
  wanted: { readonly installation: string; readonly isSigned: boolean },
  store: { readonly what: string; readonly variable: string; readonly place: string },
): boolean {
  if (found === wanted.installation) return true;
  if (found === undefined && !wanted.isSigned) return false;
  const { what, variable, place } = store;
  const why =
    found === undefined
      ? "the one given has never been used with it"
      : "the one given belongs to another data directory";
  throw new CoreError(
    "conflict",
    `the ${what} of this data directory is in ${place}, and ${why}; check ${variable}`,
  );
}

/** A server without its credentials and options, for people. */
function placeOf(url: string | undefined): string {
  if (url === undefined) return "the data directory itself";
  return url.replace(/\?.*$/s, "").replace(/\/\/[^/]*@/, "//");
}
