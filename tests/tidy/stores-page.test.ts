import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { PACKS } from "@custody/packs/catalogue";
import { ENGINES } from "@custody/stores/catalogue";

const page = (name: string): string =>
  readFileSync(join(import.meta.dirname, "../../docs/reference", name), "utf8");

test("the page about stores names every role with its engine and product", () => {
  const text = page("stores.md");
  for (const { role, engine, product } of ENGINES) {
    expect(text).toContain(`| ${role} | ${engine} | ${product} |`);
  }
});

test("the page about importers names every importer and every type it gives", () => {
  const text = page("importers.md");
  for (const { importers } of PACKS) {
    for (const { name, types } of importers) {
      expect(text).toContain(`| ${name} |`);
      for (const type of types) expect(text).toContain(`\`${type}\``);
    }
  }
});
