import { availableParallelism } from "node:os";
import { join } from "node:path";

import { defaultClientConditions, defaultServerConditions } from "vite";
import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

// Tests that need a running server are named `*.engine.test.ts`; CUSTODY_ENGINES=1 asks for them.
const isEnginesAsked = process.env["CUSTODY_ENGINES"] === "1";

// Libraries are loaded as Node loads them: what they publish for bundlers under `module` does not run as it is.
const serverConditions = defaultServerConditions.filter((condition) => condition !== "module");

const config: ViteUserConfig = defineConfig({
  // Workspace packages resolve to their sources, so that no build stands between an edit and its test.
  resolve: { conditions: ["source", ...defaultClientConditions] },
  ssr: { resolve: { conditions: ["source", ...serverConditions] } },
  test: {
    include: ["packages/**/*.test.ts", "tests/**/*.test.ts"],
    exclude: [
      ...configDefaults.exclude,
      "**/dist/**",
      ...(isEnginesAsked ? [] : ["**/*.engine.test.ts"]),
    ],
    pool: "forks",
    // Tests wait for disks and child processes more than they compute. Servers are shared, and asked by one at a time.
    maxWorkers: isEnginesAsked ? 1 : Math.max(2, availableParallelism() - 1),
    // Worker threads and type-stripped children of a test inherit these from `process.execArgv`.
    execArgv: ["--conditions=source", "--disable-warning=ExperimentalWarning"],
    // Threads and processes that tests start load some hundred modules each: compiled once, they start in half the time.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/node-compile") },
    testTimeout: 20_000,
    hookTimeout: 20_000,
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/conformance*.ts"],
    },
  },
});

export default config;
