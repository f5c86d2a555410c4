import type { EngineVersion } from "./versions.ts";

/** A directory and the ports of one engine on this machine. */
export interface Site {
  /** The directory of all engines. */
  readonly home: string;
  /** The unpacked or built program; complete and never changed afterwards. */
  readonly dist: string;
  /** Configuration, data and logs of the one instance. */
  readonly run: string;
  /** By the names the engine gives them; all on 127.0.0.1. */
  readonly ports: Readonly<Record<string, number>>;
  /** The sites of the engines that this one stands before. */
  readonly others: Readonly<Record<string, Site>>;
  /** The user to run as where the engine refuses to run as root. */
  readonly user: ServiceUser | undefined;
}

/** A system user without rights, made when the testbed runs as root. */
export interface ServiceUser {
  readonly uid: number;
  readonly gid: number;
}

/** What to run, and how to know that it answers. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Asks the server once; answers the version it tells, or throws while it is not ready. */
  readonly probe: () => Promise<string>;
  /** How the product is told to stop; `SIGTERM` unless given. */
  readonly stopSignal?: NodeJS.Signals;
  /** Work that needs the running server, each time it was started. */
  readonly furnish?: () => Promise<void>;
}

/** One server that the testbed can get from packages, start and stop. */
export interface Engine {
  readonly name: string;
  readonly pin: EngineVersion;
  /** Ports by name, with the number that is tried first. */
  readonly ports: Readonly<Record<string, number>>;
  /** Engines that must run before this one. */
  readonly after?: readonly string[];
  /** Another engine's program is used. */
  readonly distOf?: string;
  /** Commands that must be on the PATH to get it. */
  readonly needs: readonly string[];
  readonly isJava?: true;
  readonly isRootRefused?: true;
  /** The variable that names its URL; one who sets it gives a server of their own. */
  readonly variable: string;
  /** False for what only serves the tests of others. */
  readonly isProven: boolean;
  /** What one must know before trusting a result. */
  readonly note?: string;
  /** The version to install on this machine, where that differs from the pin. */
  readonly version?: () => Promise<string>;
  /** Puts the program into an empty directory. */
  readonly install: (directory: string, version: string) => Promise<void>;
  /** Writes configuration, makes initial data, says what to run. */
  readonly launch: (site: Site) => Promise<Launch>;
  /** The variables by which tests find it. */
  readonly variables: (site: Site) => Readonly<Record<string, string>>;
}
