import { memberOf, readFault } from "../drivers/opensearch-errors.ts";
import type { OpensearchCluster } from "../drivers/opensearch.ts";
import { notPrepared } from "../collections.ts";
import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { checkpointId, indexDefinition } from "./opensearch-index.ts";
import type { OpensearchCollection } from "./opensearch-index.ts";

/** Which shard copy answers, where there are several: the same for calls that must agree. */
export type Preference = string;

/**
 * How far a collection is written, as it can be seen: its rows up to there are seen as well, by whoever
 * asks the same copy afterwards. `undefined` when it was not prepared.
 *
 * @throws StoreError `refused` when it was prepared with another mapping.
 */
export async function readCheckpoint(
  { cluster, scope }: { readonly cluster: OpensearchCluster; readonly scope: Scope },
  held: OpensearchCollection,
  preference: Preference,
): Promise<number | undefined> {
  const { status, body } = await cluster.send(scope, {
    doing: `read the checkpoint of ${held.name}`,
    method: "GET",
    path: [held.alias, "_doc", checkpointId()],
    query: { realtime: false, preference },
    accepts: [404],
  });
  if (status === 404) return undefined;
  const source = memberOf(body, "_source");
  const checkpoint = memberOf(source, "checkpoint");
  if (typeof checkpoint !== "number") {
    throw new StoreError("corrupt", `${held.name} has a checkpoint that is no number`);
  }
  if (memberOf(source, "mappingKey") !== held.mappingKey) throw otherMapping(held);
  return checkpoint;
}

/** The same, for writing: what was never prepared is refused. */
export async function requireCheckpoint(
  of: { readonly cluster: OpensearchCluster; readonly scope: Scope },
  held: OpensearchCollection,
  preference: Preference,
): Promise<number> {
  const checkpoint = await readCheckpoint(of, held, preference);
  if (checkpoint === undefined) throw notPrepared({ ...held, placements: {} });
  return checkpoint;
}

/**
 * Writes how far a collection is written, and lets readers see everything up to there. An older one
 * than is stored changes nothing.
 */
export async function writeCheckpoint(
  { cluster, scope }: { readonly cluster: OpensearchCluster; readonly scope: Scope },
  { name, alias, mappingKey }: OpensearchCollection,
  checkpoint: number,
): Promise<void> {
  const doing = `write the checkpoint of ${name}`;
  const { status } = await cluster.send(scope, {
    doing,
    method: "PUT",
    path: [alias, "_doc", checkpointId()],
    // The document's version is the fence: the server takes none that is not higher.
    query: {
      version: checkpoint + 1,
      version_type: "external",
      refresh: true,
      require_alias: true,
    },
    body: { checkpoint, mappingKey },
    accepts: [409],
  });
  if (status === 409) await refresh(cluster, scope, alias);
}

/** Lets readers see what was written. */
export async function refresh(
  cluster: OpensearchCluster,
  scope: Scope,
  alias: string,
): Promise<void> {
  await cluster.send(scope, {
    doing: "refresh an index",
    method: "POST",
    path: [alias, "_refresh"],
  });
}

/** Makes a collection's index where there is none. @throws StoreError `refused` for another mapping. */
export async function prepareIndex(
  of: { readonly cluster: OpensearchCluster; readonly scope: Scope },
  held: OpensearchCollection,
  preference: Preference,
): Promise<void> {
  const definition = indexDefinition(held, of.cluster.settings.replicas);
  if ((await readCheckpoint(of, held, preference)) !== undefined) return;
  const { cluster, scope } = of;
  const doing = `make the index of ${held.name}`;
  const made = await cluster.send(scope, {
    doing,
    method: "PUT",
    path: [held.index],
    body: definition,
    accepts: [400],
  });
  if (made.status === 400) {
    const fault = readFault(made.status, memberOf(made.body, "error"));
    const isThere = fault.type === "resource_already_exists_exception";
    if (!isThere) throw await cluster.failure(scope, { doing, fault });
    await requireMapping(of, held);
  }
  await writeCheckpoint(of, held, 0);
}

/** An index may be there without its checkpoint, when its maker was killed, and be another's by then. */
async function requireMapping(
  { cluster, scope }: { readonly cluster: OpensearchCluster; readonly scope: Scope },
  held: OpensearchCollection,
): Promise<void> {
  const { body } = await cluster.send(scope, {
    doing: `read the mapping of ${held.name}`,
    method: "GET",
    path: [held.index, "_mapping"],
  });
  const mappings = memberOf(memberOf(body, held.index), "mappings");
  const noted = memberOf(memberOf(mappings, "_meta"), "custody");
  if (memberOf(noted, "mappingKey") !== held.mappingKey) throw otherMapping(held);
}

function otherMapping({ name, generation }: OpensearchCollection): StoreError {
  return new StoreError(
    "refused",
    `${name} is held with another mapping in generation ${generation}; use a new generation`,
  );
}
