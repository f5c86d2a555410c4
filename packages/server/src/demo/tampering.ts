import { readdir, readFile, writeFile, cp, rm } from "node:fs/promises";
import { basename, join } from "node:path";

import { openCustody } from "../compose.ts";
import { openStores } from "../open-stores.ts";
import type { EngineUrls } from "../open-stores.ts";
import { formatNumber } from "../cli/output/quantity.ts";
import type { DemoDirectory } from "./demo-directory.ts";
import type { Demo } from "./import-evidence.ts";

/** Alters one byte of one segment in a copy of the data directory, and asks `verify` about it. */
export async function alterOneByte(
  directory: DemoDirectory,
  { scope, narrator }: Pick<Demo, "scope" | "narrator">,
): Promise<void> {
  const { data, copy, keyFile } = directory;
  await cp(data, copy, { recursive: true });
  const segments = (await readdir(copy, { recursive: true })).filter((name) =>
    name.endsWith(".segment"),
  );
  const altered = segments.sort()[0];
  if (altered === undefined) throw new Error("there is no segment to alter");
  const path = join(copy, altered);
  const bytes = await readFile(path);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
  await narrator.say(
    `  In a copy, one bit of byte ${formatNumber(at)} of ${formatNumber(bytes.length)} is turned over in`,
  );
  await narrator.say(`    ${basename(path)}`);
  const sound = await verifyAt({ dataDirectory: data, keyFile }, scope);
  await narrator.check(
    `verify on the original: ${formatNumber(sound.checked.entries)} entries and ${formatNumber(sound.checked.records)} records, nothing altered`,
    sound.ok,
  );
  const report = await verifyAt({ dataDirectory: copy, keyFile }, scope);
  const { at: place = "nothing", reason = "" } = report.fault ?? {};
  await narrator.say(`  verify on the copy: ${place}: ${reason}`);
  await narrator.check(
    "verify finds the alteration and names the segment",
    !report.ok && `${place} ${reason}`.includes(basename(path, ".segment")),
  );
  await rm(copy, { recursive: true });
}

/** Alters one byte of one segment in the blob store itself, asks `verify` about it, and puts it right again. */
export async function alterOneObject(
  parts: Pick<Demo, "scope" | "narrator"> & {
    readonly directory: DemoDirectory;
    readonly replaced: EngineUrls;
  },
): Promise<void> {
  const { directory, replaced: engines, scope, narrator } = parts;
  const place = { dataDirectory: directory.data, keyFile: directory.keyFile, engines };
  const sound = await verifyAt(place, scope);
  await narrator.check(
    `verify before: ${formatNumber(sound.checked.entries)} entries and ${formatNumber(sound.checked.records)} records, nothing altered`,
    sound.ok,
  );
  const keys = { ownerSalt: () => Promise.reject(new Error("no owner is asked for")) };
  await using stores = openStores({ ...place, keys });
  const blob = await stores.blob();
  const [segment] = await blob.list(scope, "segments/", { limit: 1 });
  const { key } = segment ?? { key: "there is no segment" };
  const original = Buffer.from((await blob.read(scope, key)) ?? []);
  const altered = Buffer.from(original);
  const at = Math.floor(altered.length / 2);
  altered[at] = (altered[at] ?? 0) ^ 1;
  await narrator.say(
    `  In the blob store, past Custody, one bit of byte ${formatNumber(at)} of ${formatNumber(altered.length)} is turned over in`,
  );
  await narrator.say(`    ${key}`);
  await blob.put(scope, key, altered);
  const report = await verifyAt(place, scope);
  const { at: found = "nothing", reason = "" } = report.fault ?? {};
  await narrator.say(`  verify now: ${found}: ${reason}`);
  await narrator.check(
    "verify finds the alteration and names the segment",
    !report.ok && `${found} ${reason}`.includes(basename(key, ".segment")),
  );
  await blob.put(scope, key, original);
}

async function verifyAt(
  place: Parameters<typeof openCustody>[0],
  scope: Demo["scope"],
): Promise<Awaited<ReturnType<Demo["custody"]["verify"]>>> {
  await using custody = await openCustody(place);
  return await custody.verify(scope);
}
