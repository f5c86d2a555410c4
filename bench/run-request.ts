import { parseArgs } from "node:util";

import type { ProjectedRole } from "@custody/core/stores";
import type { Stop } from "@custody/server/testing/stoppable-installation";

/** What a child process is to do, given as its only argument in JSON. */
export interface RunRequest {
  /** JSON Lines of evidence. */
  readonly input: string;
  /** A fresh directory of its own. */
  readonly directory: string;
  readonly records: number;
  readonly durability: "durable" | "relaxed";
  /** On which servers, where it is not the embedded engines that are measured. */
  readonly servers?: ServerRequest;
  /** Where operations that are no projection are measured. */
  readonly operations?: OperationUrls;
  /** The store that is stopped while the input is committed. */
  readonly stopped?: StoppedStore;
  /** What is backed up how often. */
  readonly backup?: BackupRequest;
  /** Which comparisons are made besides the first and the repeated one; default all. */
  readonly reconcile?: readonly string[];
}

/** Comparisons that can be left out: store by store, with hidden changes, deep. */
export const RECONCILE_PARTS: readonly string[] = ["roles", "hidden", "deep"];

/** Rounds of a child that measures backups. */
export interface BackupRequest {
  readonly rounds: number;
  /** Records committed in each measured stretch, or added before an incremental backup. */
  readonly roundRecords: number;
  /** A directory of the repository of backups. */
  readonly repository: string;
}

/** A store that is stopped, and how. */
export interface StoppedStore {
  readonly role: ProjectedRole;
  readonly how: Stop;
}

/** What is to be written to servers. */
export interface ServerRequest {
  /** Which stores, `journal` among them. */
  readonly targets: readonly Target[];
  /** The URL of an installation of its own, by store; `blob` is where segments go. */
  readonly urls: Readonly<Partial<Record<Target | "blob", string>>>;
}

/** The servers of a child that measures operations, by role. */
export type OperationUrls = Readonly<
  Partial<Record<"blob" | "cache" | "queue" | "stream", string>>
>;

/** What is measured on servers: the stores that are projected into, of series two, and the journal. */
export type Target = ProjectedTarget | "journal";
export type ProjectedTarget =
  | "document"
  | "search"
  | "relational"
  | "analytics"
  | "series"
  | "series-influxdb"
  | "graph";

/** The request a child was started with. */
export function runRequest(): RunRequest {
  const { positionals } = parseArgs({ allowPositionals: true });
  // The parent is this benchmark itself.
  return JSON.parse(positionals[0] ?? "") as RunRequest;
}

/** The request of a child that works on servers. */
export function serverRequest(): RunRequest & ServerRequest {
  const request = runRequest();
  if (request.servers === undefined) throw new Error("no servers were named");
  return { ...request, ...request.servers };
}

/** The servers of a child that measures operations. */
export function operationUrls(): OperationUrls {
  return runRequest().operations ?? {};
}

/** The request of a child that measures backups. */
export function backupRequest(): RunRequest & BackupRequest {
  const request = runRequest();
  if (request.backup === undefined) throw new Error("no rounds of backups were named");
  return { ...request, ...request.backup };
}

/** The comparisons that a child makes besides the first and the repeated one. */
export function reconcileParts(): readonly string[] {
  return runRequest().reconcile ?? RECONCILE_PARTS;
}

/** Sends the answer to the parent and lets the process end. */
export function answer(facts: Readonly<Record<string, unknown>>): void {
  if (process.send === undefined) process.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
  else process.send(facts, () => process.disconnect());
}

/** Records committed together. */
export const BATCH_RECORDS = 1_000;
