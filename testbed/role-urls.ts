import type { StoreRole } from "@custody/contract/placement";

/** A server by the name in its variable `CUSTODY_TEST_<NAME>_URL`. */
export type ServerName =
  | "clickhouse"
  | "elasticsearch"
  | "ferretdb"
  | "influxdb"
  | "kafka"
  | "mongodb"
  | "mongojava"
  | "neo4j"
  | "opensearch"
  | "postgresql"
  | "redis"
  | "s3"
  | "timescaledb";

/** A server that can play a role, and where an installation of a given name lies on it. */
export interface RoleUrl {
  readonly server: ServerName;
  readonly url: string;
}

/** The server that plays each role, by URL, as `CUSTODY_<ROLE>_URL` gives it. */
export type InstallationUrls = Readonly<Partial<Record<StoreRole, string>>>;

/** Which servers can play a role; the first that is up is meant unless a test chooses another. */
export const ROLE_SERVERS: Readonly<Record<StoreRole, readonly ServerName[]>> = {
  document: ["mongodb", "mongojava", "ferretdb"],
  relational: ["postgresql"],
  series: ["postgresql", "influxdb", "timescaledb"],
  search: ["opensearch", "elasticsearch"],
  analytics: ["clickhouse"],
  graph: ["neo4j"],
  blob: ["s3"],
  cache: ["redis"],
  queue: ["redis"],
  stream: ["kafka"],
};

/** Every role; the order in which they are shown. */
export const ROLES: readonly StoreRole[] = Object.keys(ROLE_SERVERS) as StoreRole[];

type Environment = Readonly<Record<string, string | undefined>>;

/** The variable that names a server's URL. */
export function serverVariable(server: ServerName): string {
  return `CUSTODY_TEST_${server.toUpperCase()}_URL`;
}

/**
 * The servers that are up, by role: each with the URL of an installation of that name on it.
 *
 * The name is 1 to 20 of a-z 0-9 and begins with a letter: every product takes it as it is.
 */
export function roleUrls(
  environment: Environment,
  name: string,
): Readonly<Record<StoreRole, readonly RoleUrl[]>> {
  const candidates = (servers: readonly ServerName[]): readonly RoleUrl[] =>
    servers.flatMap((server) => {
      const url = environment[serverVariable(server)] ?? "";
      return url === "" ? [] : [{ server, url: installationUrl(patient(server, url), name) }];
    });
  return Object.fromEntries(
    ROLES.map((role) => [role, candidates(ROLE_SERVERS[role])]),
  ) as Readonly<Record<StoreRole, readonly RoleUrl[]>>;
}

/** FerretDB reads a whole collection for each row that it replaces: deliveries take it up to a minute. */
function patient(server: ServerName, url: string): string {
  if (server !== "ferretdb" || /[?&]timeout=/.test(url)) return url;
  return `${url}${url.includes("?") ? "&" : "?"}timeout=180000`;
}

/** One server for every role: the first that is up, or the one that is chosen by name. */
export function chosenUrls(
  candidates: Readonly<Record<StoreRole, readonly RoleUrl[]>>,
  choice: Readonly<Partial<Record<StoreRole, ServerName>>> = {},
): InstallationUrls {
  const urls: Partial<Record<StoreRole, string>> = {};
  for (const role of ROLES) {
    const wanted = choice[role];
    const of = candidates[role].find(({ server }) => wanted === undefined || server === wanted);
    if (of !== undefined) urls[role] = of.url;
  }
  return urls;
}

/** The roles that no server is up for, with the servers that could play them: `graph (neo4j)`. */
export function missingServers(
  candidates: Readonly<Record<StoreRole, readonly RoleUrl[]>>,
): readonly string[] {
  return ROLES.filter((role) => candidates[role].length === 0).map(
    (role) => `${role} (${ROLE_SERVERS[role].join(" or ")})`,
  );
}

/** A URL's parts that do not say which installation is meant, and its options. */
const FORM = /^([a-z][a-z0-9+.-]*):(\/\/[^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i;

/**
 * The URL of an installation of another name on the server of a URL, in the way of its product: a
 * schema, a prefix, a bucket.
 *
 * @throws Error for a URL of no product that is known.
 */
export function installationUrl(url: string, name: string): string {
  if (!/^[a-z][a-z0-9]{0,19}$/.test(name)) throw new Error(`no name for an installation: ${name}`);
  const [, scheme = "", place = "", path = "", query = ""] = FORM.exec(url) ?? [];
  const options = new URLSearchParams(query);
  const at = (newPath: string): string => {
    const text = options.toString();
    return `${scheme}:${place}${newPath === "" ? "" : `/${newPath}`}${text === "" ? "" : `?${text}`}`;
  };
  switch (scheme.toLowerCase()) {
    case "postgresql":
    case "postgres":
    case "timescale":
      options.set("schema", name);
      return at(path);
    case "redis":
    case "rediss":
      options.set("prefix", name);
      return at(path);
    case "s3":
    case "s3s":
      // In a bucket that is named the installation is a prefix; else it gets a bucket of its own.
      if (path !== "") return at(`${path.replace(/\/.*$/s, "")}/${name}`);
      options.set("create", "true");
      return at(`custody-${name}/${name}`);
    case "mongodb":
    case "mongodb+srv":
    case "opensearch":
    case "opensearchs":
    case "elasticsearch":
    case "elasticsearchs":
    case "clickhouse":
    case "clickhouses":
    case "bolt":
    case "bolt+s":
    case "neo4j":
    case "neo4j+s":
    case "influxdb":
    case "influxdbs":
    case "kafka":
    case "kafkas":
      return at(name);
    default:
      throw new Error("an installation is asked for on a server of no product that is known");
  }
}

/** The environment variables by which Custody takes an installation's servers. */
export function roleVariables(urls: InstallationUrls): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(urls).map(([role, url]) => [`CUSTODY_${role.toUpperCase()}_URL`, url]),
  );
}
