import type { StoreRole } from "@custody/contract/placement";

import { ROLES } from "../../testbed/role-urls.ts";
import type { InstallationUrls, RoleUrl, ServerName } from "../../testbed/role-urls.ts";

/** Which engine plays each role: a server's name, or `embedded`. */
export type Mix = Readonly<Record<StoreRole, ServerName | "embedded">>;

type Candidates = Readonly<Record<StoreRole, readonly RoleUrl[]>>;

/**
 * Draws mixes in which every engine occurs, each among embedded and among server neighbours. The first
 * has a server for every role; the others are random, and follow from the seed.
 */
export function drawMixes(candidates: Candidates, count: number, seed: number): readonly Mix[] {
  const random = randomNumbers(seed);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const mixes = Array.from({ length: count }, (_, index) => drawMix(candidates, random, index));
    if (coversEveryEngine(candidates, mixes)) return mixes;
  }
  throw new Error(`${count} mixes are too few for every engine to occur`);
}

const ATTEMPTS_MAX = 10_000;

function drawMix(candidates: Candidates, random: () => number, index: number): Mix {
  const draw = (role: StoreRole): ServerName | "embedded" => {
    const servers = candidates[role].map(({ server }) => server);
    const isServer = index === 0 || random() < 0.5;
    return (isServer ? servers[Math.floor(random() * servers.length)] : undefined) ?? "embedded";
  };
  return Object.fromEntries(ROLES.map((role) => [role, draw(role)])) as Mix;
}

/** Whether each engine of each role occurs in a mix that is neither all embedded nor all on servers. */
function coversEveryEngine(candidates: Candidates, mixes: readonly Mix[]): boolean {
  const mixed = mixes.filter((mix) => {
    const embedded = ROLES.filter((role) => mix[role] === "embedded").length;
    return embedded >= 2 && embedded <= ROLES.length - 2;
  });
  return ROLES.every((role) =>
    ["embedded", ...candidates[role].map(({ server }) => server)].every((engine) =>
      mixed.some((mix) => mix[role] === engine),
    ),
  );
}

/** The URLs of a mix's servers; none for what is embedded. */
export function mixUrls(candidates: Candidates, mix: Mix): InstallationUrls {
  return Object.fromEntries(
    ROLES.flatMap((role) => {
      const found = candidates[role].find(({ server }) => server === mix[role]);
      return found === undefined ? [] : [[role, found.url]];
    }),
  );
}

/** A mix in a line: what is not embedded. */
export function describeMix(mix: Mix): string {
  const servers = ROLES.flatMap((role) =>
    mix[role] === "embedded" ? [] : [`${role} on ${mix[role]}`],
  );
  return servers.length === 0 ? "all embedded" : servers.join(", ");
}

/** Numbers from 0 to below 1, the same ones for a seed everywhere (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
