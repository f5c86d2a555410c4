import { readdir, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";

import { findCommand, readCommand } from "../command.ts";

/** A Java development kit of this machine. */
export interface Jdk {
  readonly home: string;
  readonly major: number;
}

/** Every JDK that JAVA_HOME, the PATH and the folder beside it lead to, oldest first. */
export async function findJdks(): Promise<readonly Jdk[]> {
  const homes = new Set<string>();
  const given = process.env["JAVA_HOME"];
  if (given !== undefined && given !== "") homes.add(await resolved(given));
  const java = await findCommand("java");
  if (java !== undefined) {
    const home = dirname(dirname(await realpath(java)));
    homes.add(home);
    for (const sibling of await readdir(dirname(home)).catch(() => [])) {
      homes.add(await resolved(join(dirname(home), sibling)));
    }
  }
  const jdks = await Promise.all([...homes].map(readJdk));
  return jdks.filter((jdk) => jdk !== undefined).sort((a, b) => a.major - b.major);
}

/** The oldest JDK from a version on. Throws with what is needed when there is none. */
export async function requireJdk(major: number): Promise<Jdk> {
  const jdk = (await findJdks()).find((one) => one.major >= major);
  if (jdk !== undefined) return jdk;
  throw new Error(`no JDK ${major} or newer through JAVA_HOME or the PATH`);
}

/** Options of every server on a JVM here: small, quick to start. */
export function jvmOptions(heap: string, jdk: Jdk): readonly string[] {
  return [
    `-Xmx${heap}`,
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
    ...(jdk.major >= 24
      ? ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
      : []),
  ];
}

async function resolved(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}

async function readJdk(home: string): Promise<Jdk | undefined> {
  // A JRE has no compiler, and two of the engines need one.
  const text = await readCommand(join(home, "bin", "javac"), ["-version"]).catch(() => "");
  const major = Number(/^javac (\d+)/m.exec(text)?.[1]);
  return Number.isInteger(major) ? { home, major } : undefined;
}
