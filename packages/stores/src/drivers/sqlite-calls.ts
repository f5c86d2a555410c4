import type { Collection, ProjectedStore } from "../projected-store.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import { SQLITE_ENDINGS } from "./sqlite.ts";
import type { TenantFiles } from "./tenant-files.ts";

/** What a file of collections does, whatever its role. */
export interface SqliteCollectionFile<Placement> {
  prepare(collection: Collection<Placement>): void;
  apply(collection: Collection<Placement>, delivery: Delivery): void;
  repair(collection: Collection<Placement>, batch: RecordBatch): void;
  checkpoint(collection: Collection<Placement>): number;
  discard(collection: Collection<Placement>): void;
}

/** Runs work on a scope's open file; `doing` names it in errors. */
export type UseFile<File> = <Result>(
  scope: Scope,
  doing: string,
  work: (file: File) => Result,
) => Promise<Result>;

/** The calls by which damaged SQLite files of a pool are found and taken out of the way. */
export function asideCalls<File>(
  files: TenantFiles<File>,
): Required<Pick<ProjectedStore<unknown>, "hasDamage" | "setAside">> {
  return {
    hasDamage: (scope) => Promise.resolve(files.hasDamage(scope)),
    setAside: (scope, atMs) => files.setAside(scope, atMs, SQLITE_ENDINGS),
  };
}

/** The calls of a projected store that go straight to the scope's file. */
export function fileCalls<Placement, File extends SqliteCollectionFile<Placement>>(
  use: UseFile<File>,
): Pick<ProjectedStore<Placement>, "prepare" | "apply" | "repair" | "checkpoint" | "discard"> {
  return {
    prepare: async (scope, collection) =>
      await use(scope, `prepare ${collection.name}`, (file) => file.prepare(collection)),
    apply: async (scope, collection, delivery) =>
      await use(scope, `apply ${collection.name}`, (file) => file.apply(collection, delivery)),
    repair: async (scope, collection, batch) =>
      await use(scope, `repair ${collection.name}`, (file) => file.repair(collection, batch)),
    checkpoint: async (scope, collection) =>
      await use(scope, "read a checkpoint", (file) => file.checkpoint(collection)),
    discard: async (scope, collection) =>
      await use(scope, `discard ${collection.name}`, (file) => file.discard(collection)),
  };
}
