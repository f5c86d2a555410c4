// Completes package-lock.json with the optional platform packages that the registry in use did not serve.
//
// npm leaves such a package out of the lock when it is made, and `npm ci` then refuses the lock as
// "out of sync", on every machine. An entry added here carries no integrity value, as nobody here has
// seen the package; npm fills it in the next time the lock is made where the package is served.
import { readFileSync, writeFileSync } from "node:fs";

const LOCK = new URL("../package-lock.json", import.meta.url);

const SYSTEMS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const PROCESSORS = [
  "arm",
  "arm64",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "wasm32",
  "x64",
];
const C_LIBRARIES = new Map([
  ["gnu", "glibc"],
  ["gnueabihf", "glibc"],
  ["glibc", "glibc"],
  ["musl", "musl"],
  ["musleabihf", "musl"],
]);

/** What a platform package's name says of where it runs; `undefined` when it says nothing. */
function platformOf(name) {
  const words = name.split(/[/.-]/);
  const system = words.find((word) => SYSTEMS.includes(word));
  const processor = words.findLast((word) => PROCESSORS.includes(word));
  if (system === undefined || processor === undefined) return undefined;
  const library = words.map((word) => C_LIBRARIES.get(word)).find((found) => found !== undefined);
  return {
    cpu: [processor],
    ...(system === "linux" && library !== undefined ? { libc: [library] } : {}),
    os: [system],
  };
}

/** Where `name` is found when required from the package at `from`, as Node would look for it. */
function locate(packages, from, name) {
  const segments = from.split("/node_modules/");
  for (let depth = segments.length; depth > 0; depth -= 1) {
    const place = `${segments.slice(0, depth).join("/node_modules/")}/node_modules/${name}`;
    if (packages[place] !== undefined) return place;
  }
  const top = `node_modules/${name}`;
  return packages[top] === undefined ? undefined : top;
}

const lock = JSON.parse(readFileSync(LOCK, "utf8"));
const added = [];
const unknown = [];
for (const [from, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    if (locate(lock.packages, from, name) !== undefined) continue;
    const platform = platformOf(name);
    const version = /^[~^]?(\d[^\s|]*)$/.exec(range)?.[1];
    if (platform === undefined || version === undefined) {
      unknown.push(`${name}@${range}`);
      continue;
    }
    const { cpu, libc, os } = platform;
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu,
      ...(entry.dev === true ? { dev: true } : {}),
      ...(libc === undefined ? {} : { libc }),
      ...(entry.license === undefined ? {} : { license: entry.license }),
      optional: true,
      os,
    };
    added.push(`${name}@${version}`);
  }
}

const { "": root, ...rest } = lock.packages;
const sorted = Object.entries(rest).sort(([a], [b]) => a.localeCompare(b, "en"));
lock.packages = { "": root, ...Object.fromEntries(sorted) };
writeFileSync(LOCK, `${JSON.stringify(lock, undefined, 2)}\n`);

for (const name of added) console.log(`added ${name}`);
for (const name of unknown) console.error(`cannot tell the platform of ${name}`);
console.log(`${added.length} optional entries added`);
process.exitCode = unknown.length === 0 ? 0 : 1;
