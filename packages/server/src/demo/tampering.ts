import { readdir, readFile, writeFile, cp, rm } from "node:fs/promises";
import { basename, join } from "node:path";

import { openCustody } from "../compose.ts";
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
  const sound = await verifyAt(data, keyFile, scope);
  await narrator.check(
    `verify on the original: ${formatNumber(sound.checked.entries)} entries and ${formatNumber(sound.checked.records)} records, nothing altered`,
    sound.ok,
  );
  const report = await verifyAt(copy, keyFile, scope);
  const { at: place = "nothing", reason = "" } = report.fault ?? {};
  await narrator.say(`  verify on the copy: ${place}: ${reason}`);
  await narrator.check(
    "verify finds the alteration and names the segment",
    !report.ok && `${place} ${reason}`.includes(basename(path, ".segment")),
  );
  await rm(copy, { recursive: true });
}

async function verifyAt(
  dataDirectory: string,
  keyFile: string,
  scope: Demo["scope"],
): Promise<Awaited<ReturnType<Demo["custody"]["verify"]>>> {
  await using custody = await openCustody({ dataDirectory, keyFile });
  return await custody.verify(scope);
}
