import type { EngineUrls } from "../open-stores.ts";
import { resolveSettings } from "../cli/settings.ts";
import type { Terminal } from "../cli/terminal.ts";

/** What plays the roles in the demonstration. */
export interface DemoEngines {
  /** True when every role is played by a server. */
  readonly areServers: boolean;
  /** True when what the servers keep of it stays when it has ended. */
  readonly isKept: boolean;
  readonly engines: EngineUrls;
  /** The same once the stores were lost. */
  readonly replaced: EngineUrls;
}

/** The demonstration as it is told without servers. */
export const embeddedEngines: DemoEngines = {
  areServers: false,
  isKept: true,
  engines: {},
  replaced: {},
};

/**
 * Reads the servers from the environment: `CUSTODY_<ROLE>_URL`, and `CUSTODY_DEMO_REPLACEMENTS`, a JSON
 * object with the URL of a new, empty store by role. Both are set by `npm run demo -- --engines`.
 *
 * @throws Error when they are not set.
 */
export function serversOf(terminal: Terminal, isKept: boolean): DemoEngines {
  const text = terminal.environment["CUSTODY_DEMO_REPLACEMENTS"];
  if (text === undefined) throw new Error("servers are found by `npm run demo -- --engines`");
  const { engines } = resolveSettings({}, terminal);
  const { document, search, series, analytics, graph } = JSON.parse(text) as EngineUrls;
  const lost = { document, search, series, analytics, graph };
  const given = Object.entries(lost).filter(([, url]) => url !== undefined);
  return {
    areServers: true,
    isKept,
    engines,
    replaced: { ...engines, ...Object.fromEntries(given) },
  };
}

/** The lines for a shell by which the command line finds the same servers. */
export function exportsOf(engines: EngineUrls): readonly string[] {
  return Object.entries(engines).map(
    ([role, url]) => `  export CUSTODY_${role.toUpperCase()}_URL='${url.replaceAll("'", "'\\''")}'`,
  );
}
