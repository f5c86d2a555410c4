import { readFileSync } from "node:fs";

import { expect, test } from "vitest";
import { parse } from "yaml";

import { COMPOSE_VARIABLES } from "../../testbed/docker.ts";
import { ENGINES, GIVEN_SERVERS } from "../../testbed/engines/catalogue.ts";
import { OPENSEARCH_FOR_JAVA_17, VERSIONS } from "../../testbed/versions.ts";

interface ComposeService {
  readonly image: string;
  readonly ports?: readonly string[];
  readonly network_mode?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly healthcheck?: object;
}

const { services } = parse(
  readFileSync(new URL("../../testbed/compose.yaml", import.meta.url), "utf8"),
) as { services: Readonly<Record<string, ComposeService>> };
const pins = Object.entries(VERSIONS);

test("the compose file starts exactly the pinned images", () => {
  const images = Object.entries(services).map(([name, { image }]) => [name, image] as const);
  const pinned = pins.flatMap(([name, { image }]) =>
    image === undefined ? [] : [[name, image] as const],
  );
  expect(Object.fromEntries(images)).toEqual(Object.fromEntries(pinned));
  for (const [, image] of images) expect(image).toMatch(/:[\w.-]*\d+\.\d+|:RELEASE\./);
});

test.each(Object.entries(services))(
  "the port of %s is the one that its URL names, and open to this machine alone",
  (name, { ports = [], network_mode, command = [], environment = {} }) => {
    const [url = ""] = Object.values(COMPOSE_VARIABLES[name] ?? {});
    const port = /127\.0\.0\.1:(\d+)/.exec(url)?.[1] ?? "no URL";
    if (network_mode === "host") {
      expect([...command, ...Object.values(environment)].join(" ")).toContain(port);
      return;
    }
    expect(ports).toHaveLength(1);
    expect(ports[0]).toMatch(new RegExp(`^127\\.0\\.0\\.1:${port}:\\d+$`));
  },
);

test.each(ENGINES.filter(({ pin }) => pin.image !== undefined))(
  "the container of $name is reached on the port of the package",
  ({ name, ports, variable }) => {
    expect(COMPOSE_VARIABLES[name]?.[variable]).toContain(`127.0.0.1:${ports["main"]}`);
  },
);

test("Compose waits for every container but toxiproxy until it answers", () => {
  const without = Object.entries(services).filter(([, one]) => one.healthcheck === undefined);
  expect(without.map(([name]) => name)).toEqual(["toxiproxy"]);
});

test("every version is pinned to a build, and every engine has its line in the table", () => {
  for (const [, { version }] of pins) expect(version).toMatch(/^v?\d+(\.\d+|$)/);
  expect(OPENSEARCH_FOR_JAVA_17).toMatch(/^2\.19\./);
  const known = [...ENGINES, ...GIVEN_SERVERS].map(({ name }) => name);
  expect(new Set(pins.map(([name]) => name))).toEqual(new Set(known));
});

test("no two engines want the same port, and none a usual one of its product", () => {
  const ports = ENGINES.flatMap((engine) => Object.values(engine.ports));
  expect(new Set(ports).size).toBe(ports.length);
  const usual = [5432, 6379, 6432, 7687, 8086, 8123, 8474, 9000, 9092, 9200, 27_017];
  expect(ports.filter((port) => usual.includes(port))).toEqual([]);
  // Linux gives ports from 32768 on to clients, who may hold one when a server wants it.
  expect(ports.filter((port) => port < 1_024 || port >= 32_768)).toEqual([]);
});

test("what an engine stands on comes before it, as does the engine whose program it uses", () => {
  ENGINES.forEach(({ after = [], distOf }, index) => {
    const before = ENGINES.slice(0, index).map(({ name }) => name);
    expect(before).toEqual(expect.arrayContaining([...after]));
    if (distOf !== undefined) expect(after).toContain(distOf);
  });
});
