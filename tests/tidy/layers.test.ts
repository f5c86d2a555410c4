import { expect, test } from "vitest";

import { importsOf, packageOf, type Import } from "./import-graph.ts";
import { isTestPath, sourceFiles } from "./tracked-files.ts";

/** Which packages a package may import. Imports point down this list only. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  contract: [],
  stores: ["contract"],
  core: ["contract", "stores"],
  packs: ["contract"],
  server: ["contract", "stores", "core", "packs"],
  sdk: ["contract"],
  console: ["sdk"],
};

/** The one module of the product, outside packages/stores, that names engines. */
const COMPOSE = "packages/server/src/compose.ts";

const ENGINE =
  /(^|[/@.-])(sqlite|duckdb|ladybug(db)?|postgres(ql)?|pg|timescale(db)?|mongo(db)?|influx(db)?|opensearch|elasticsearch|clickhouse|neo4j|s3|minio|redis|ioredis|bullmq|kafka)([/.-]|$)/;
const VENDOR =
  /^(node:sqlite|@duckdb\/.+|@ladybugdb\/.+|pg|mongodb|@influxdata\/.+|@opensearch-project\/.+|@clickhouse\/.+|neo4j-driver|@aws-sdk\/.+|ioredis|redis|bullmq|@platformatic\/kafka|kafkajs)$/;

const productFiles = sourceFiles.filter(
  ({ path }) => path.startsWith("packages/") && !isTestPath(path),
);
const imports = sourceFiles.filter(({ path }) => path.startsWith("packages/")).flatMap(importsOf);
const productImports = imports.filter(({ from }) => !isTestPath(from));
const productImportsByFile = Map.groupBy(productImports, ({ from }) => from);

const show = ({ from, specifier }: Import): string => `${from} imports ${specifier}`;

test("every package has its place in the layers", () => {
  const packages = new Set(sourceFiles.flatMap(({ path }) => packageOf(path) ?? []));
  expect([...packages].filter((name) => LAYERS[name] === undefined)).toEqual([]);
});

test("imports between packages point down the layers, in tests too", () => {
  const wrong = imports.filter(({ from, specifier }) => {
    const own = packageOf(from) ?? "";
    const other = /^@custody\/([^/]+)/.exec(specifier)?.[1];
    return other !== undefined && LAYERS[own]?.includes(other) !== true;
  });
  expect(wrong.map(show)).toEqual([]);
});

test("a package reaches another by its name, never by a relative path", () => {
  const wrong = imports.filter(
    ({ from, specifier, target }) =>
      specifier.startsWith(".") &&
      packageOf(target ?? "") !== packageOf(from) &&
      // A test may check what the documentation is made of.
      !(from.endsWith(".test.ts") && target?.startsWith("docs/") === true),
  );
  expect(wrong.map(show)).toEqual([]);
});

test("an import between packages names a source that exists", () => {
  const known = new Set(sourceFiles.map(({ path }) => path));
  const wrong = imports.filter(
    ({ specifier, target }) =>
      specifier.startsWith("@custody/") && (target === undefined || !known.has(target)),
  );
  expect(wrong.map(show)).toEqual([]);
});

test("engines are named in packages/stores and in compose.ts alone", () => {
  const wrong = productImports.filter(
    ({ from, specifier }) =>
      packageOf(from) !== "stores" && from !== COMPOSE && ENGINE.test(specifier),
  );
  expect(wrong.map(show)).toEqual([]);
});

test("drivers alone load the library of a vendor", () => {
  const wrong = productImports.filter(
    ({ from, specifier, isTypeOnly }) =>
      !isTypeOnly && VENDOR.test(specifier) && !from.startsWith("packages/stores/src/drivers/"),
  );
  expect(wrong.map(show)).toEqual([]);
});

test("what core imports of stores leads to no engine, driver or vendor library", () => {
  const entries = productImports.filter(
    ({ from, target }) => packageOf(from) === "core" && packageOf(target ?? "") === "stores",
  );
  const chains = entries.map((entry) => ({ chain: show(entry), next: entry }));
  const seen = new Set<string>();
  const wrong: string[] = [];
  for (let step = chains.shift(); step !== undefined; step = chains.shift()) {
    const { chain, next } = step;
    const target = next.target ?? next.specifier;
    if (ENGINE.test(target) || target.includes("/drivers/") || VENDOR.test(target)) {
      wrong.push(chain);
      continue;
    }
    if (seen.has(target)) continue;
    seen.add(target);
    for (const further of productImportsByFile.get(target) ?? []) {
      chains.push({ chain: `${chain}, which imports ${further.specifier}`, next: further });
    }
  }
  expect(wrong).toEqual([]);
});

test("the product does not import its tests", () => {
  const wrong = productImports.filter(({ target }) => target !== undefined && isTestPath(target));
  expect(wrong.map(show)).toEqual([]);
});

test("contract and core read no clock of their own", () => {
  const clock = /\bnew Date\(\s*\)|\bDate\.now\b|\bperformance\.now\b/;
  const wrong = productFiles
    .filter(({ path }) => ["contract", "core"].includes(packageOf(path) ?? ""))
    .filter(({ text }) => clock.test(text));
  expect(wrong.map(({ path }) => path)).toEqual([]);
});
