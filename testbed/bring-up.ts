import { ENGINES } from "./engines/catalogue.ts";
import type { Engine, Site } from "./engine.ts";
import { makeOpenDirectory } from "./service-user.ts";
import { installEngine, startEngine, type Started } from "./supervisor.ts";
import { turns } from "./turns.ts";

/** What became of one engine that was asked for. */
export interface BroughtUp {
  readonly engine: Engine;
  /** Where the server is somebody else's; nothing was started then. */
  readonly givenUrl?: string;
  readonly started?: Started;
  /** Why it does not run, though it should. */
  readonly failure?: string;
  /** Why it was not started. */
  readonly missing?: string;
  readonly seconds: number;
}

// Builds use every core they find; with more of them at a time each only takes longer.
const BUILDS = 2;
// JVMs starting together on a small machine outlast each other's patience.
const JAVA_STARTS = 1;

/** The engines of these names and those they stand on, in the catalogue's order; all without names. */
export function enginesNamed(names: readonly string[]): readonly Engine[] {
  const wanted = new Set<string>();
  const add = (name: string): void => {
    const engine = ENGINES.find((one) => one.name === name);
    if (engine === undefined) {
      throw new Error(
        `no engine is called ${name}; there are ${ENGINES.map((one) => one.name).join(", ")}`,
      );
    }
    wanted.add(name);
    for (const other of engine.after ?? []) add(other);
  };
  for (const name of names.length === 0 ? ENGINES.map((one) => one.name) : names) add(name);
  return ENGINES.filter(({ name }) => wanted.has(name));
}

/** Installs and starts engines, and tells of each as soon as it runs, or cannot. */
export async function bringUp(
  home: string,
  engines: readonly Engine[],
  tell: (result: BroughtUp) => void,
): Promise<readonly BroughtUp[]> {
  await makeOpenDirectory(home);
  const build = turns(BUILDS);
  const javaStart = turns(JAVA_STARTS);
  const results = new Map<string, Promise<BroughtUp>>();

  const bring = async (engine: Engine): Promise<BroughtUp> => {
    const result = await attempt(engine);
    tell(result);
    return result;
  };
  const attempt = async (engine: Engine): Promise<BroughtUp> => {
    const startedAt = performance.now();
    const seconds = (): number => (performance.now() - startedAt) / 1_000;
    const givenUrl = process.env[engine.variable];
    if (givenUrl !== undefined && givenUrl !== "") return { engine, givenUrl, seconds: 0 };
    try {
      for (const name of engine.after ?? []) {
        if ((await results.get(name))?.givenUrl === undefined) continue;
        const missing = `it stands on the testbed's own ${name}, and another is given`;
        return { engine, missing, seconds: seconds() };
      }
      const others = await sitesOf(engine, results);
      await build(() => installEngine(home, engine));
      const start = (): Promise<Started> => startEngine(home, engine, others);
      const started = await (engine.isJava === true ? javaStart(start) : start());
      return { engine, started, seconds: seconds() };
    } catch (error) {
      return { engine, failure: describe(error), seconds: seconds() };
    }
  };

  for (const engine of engines) {
    results.set(engine.name, bring(engine));
  }
  return await Promise.all(results.values());
}

/** The variables by which tests find what runs. */
export function variablesOf(results: readonly BroughtUp[]): Readonly<Record<string, string>> {
  return Object.assign(
    {},
    ...results.map(({ engine, givenUrl, started }) => {
      if (givenUrl !== undefined) return { [engine.variable]: givenUrl };
      return started === undefined ? {} : engine.variables(started.site);
    }),
  ) as Readonly<Record<string, string>>;
}

async function sitesOf(
  engine: Engine,
  results: ReadonlyMap<string, Promise<BroughtUp>>,
): Promise<Readonly<Record<string, Site>>> {
  const sites: Record<string, Site> = {};
  for (const name of engine.after ?? []) {
    const site = (await results.get(name))?.started?.site;
    if (site === undefined) throw new Error(`it stands on ${name}, which the testbed does not run`);
    sites[name] = site;
  }
  return sites;
}

function describe(error: unknown): string {
  const parts: string[] = [];
  for (let one = error; one instanceof Error; one = one.cause) parts.push(one.message);
  return parts.length === 0 ? String(error) : parts.join(": ");
}
