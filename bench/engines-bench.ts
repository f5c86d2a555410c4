import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { dropInstallation } from "../testbed/drop-installation.ts";
import { installationUrl, ROLE_SERVERS, serverVariable } from "../testbed/role-urls.ts";
import type { ServerName } from "../testbed/role-urls.ts";
import { runChild } from "./child-run.ts";
import type { ChildRun } from "./child-run.ts";
import type { EnginesResult, TargetResult, WrittenSide } from "./engines-report.ts";
import { targetResult } from "./engines-report.ts";
import { loadNow } from "./machine-facts.ts";
import type { ServerRequest, Target } from "./run-request.ts";
import { roleOf } from "./server-pack.ts";
import { dropRawGraph } from "./servers/neo4j.ts";

/** What is measured, and with how much. */
export interface EnginesRequest {
  /** All of the evidence, and a smaller file of its first records. */
  readonly whole: { readonly input: string; readonly records: number };
  readonly part: { readonly input: string; readonly records: number };
  readonly rounds: number;
  readonly targets: readonly Target[];
  /** `roles`, `together`, `operations`, `reads`. */
  readonly parts: readonly string[];
  readonly directory: string;
  readonly say: (text: string) => void;
}

/** Every target, in the order in which they are measured. */
export const TARGETS: readonly Target[] = [
  "journal",
  "document",
  "search",
  "relational",
  "analytics",
  "series",
  "series-influxdb",
  "graph",
];

type Urls = ServerRequest["urls"];

/** Measures Custody on servers beside their own clients. */
export async function measureEngines(
  request: EnginesRequest,
): Promise<Pick<EnginesResult, "roles" | "together" | "operations" | "reads">> {
  const { targets, parts, say } = request;
  const known = targets.filter((target) => {
    const isUp = serversOf(target).every((servers) => urlOf(servers) !== undefined);
    if (!isUp) say(`no server for ${target}: it is left out`);
    return isUp;
  });
  const roles: Partial<Record<Target, TargetResult>> = {};
  if (parts.includes("roles")) {
    for (const target of known) roles[target] = await measureTarget(request, target);
  }
  const all = known.filter((target) => target !== "series-influxdb");
  return {
    roles,
    ...(parts.includes("together") ? await measureTogether(request, all) : {}),
    ...(parts.includes("operations") ? { operations: await measureOperations(request) } : {}),
  };
}

const SIDES = ["raw", "store", "custody"] as const;

const PROGRAMS: Readonly<Record<WrittenSide, string>> = {
  raw: "./servers/raw-run.ts",
  store: "./server-store-run.ts",
  custody: "./server-custody-run.ts",
};

/** Turn by turn, so that whatever else the machine does disturbs all sides alike. */
async function measureTarget(request: EnginesRequest, target: Target): Promise<TargetResult> {
  const runs: Record<WrittenSide, ChildRun[]> = { raw: [], store: [], custody: [] };
  const load: number[] = [];
  for (let round = 1; round <= request.rounds; round += 1) {
    for (const side of SIDES) {
      // What the journal's own store is worth shows in Custody's receipts.
      if (side === "store" && target === "journal") continue;
      load.push(loadNow());
      runs[side].push(await onInstallation(request, side, { of: request.part, target }));
      const { seconds, acknowledgedSeconds } = runs[side].at(-1)?.facts ?? {};
      const seen = target === "journal" ? (acknowledgedSeconds ?? seconds) : seconds;
      request.say(
        `${target}, round ${round} of ${request.rounds}, ${side}: ${Number(seen).toFixed(2)} s`,
      );
    }
  }
  return targetResult(runs, { records: request.part.records, target, load });
}

/** A run on an installation of its own, which is dropped whatever comes of it. */
async function onInstallation(
  request: EnginesRequest,
  side: WrittenSide,
  { of, target }: { readonly of: EnginesRequest["part"]; readonly target: Target },
): Promise<ChildRun> {
  const installation = newInstallation([target]);
  try {
    return await runOn(request, side, { of, ...installation });
  } finally {
    await drop(installation, side);
  }
}

/** All roles at once; the last round's installations are then read from. */
async function measureTogether(
  request: EnginesRequest,
  targets: readonly Target[],
): Promise<Pick<EnginesResult, "together" | "reads">> {
  const { whole, rounds, say } = request;
  const runs: Record<WrittenSide, ChildRun[]> = { raw: [], store: [], custody: [] };
  const load: number[] = [];
  let reads: EnginesResult["reads"];
  for (let round = 1; round <= rounds; round += 1) {
    const kept = { raw: newInstallation(targets), custody: newInstallation(targets) };
    try {
      for (const side of ["raw", "custody"] as const) {
        load.push(loadNow());
        const run = await runOn(request, side, { of: whole, ...kept[side] });
        runs[side].push(run);
        const seconds = Number(run.facts["seconds"]).toFixed(2);
        say(`all together, round ${round} of ${rounds}, ${side}: ${seconds} s`);
      }
      const isLast = round === rounds && request.parts.includes("reads");
      if (isLast) reads = await measureReads(request, kept);
    } finally {
      await drop(kept.raw, "raw");
      await drop(kept.custody, "custody");
    }
  }
  const together = targetResult(runs, { records: whole.records, target: "together", load });
  return { together, ...(reads === undefined ? {} : { reads }) };
}

async function measureReads(
  request: EnginesRequest,
  kept: Readonly<Record<"raw" | "custody", ServerRequest>>,
): Promise<EnginesResult["reads"]> {
  const read = async (side: "raw" | "custody", program: string): Promise<ChildRun["facts"]> => {
    request.say(`reads, ${side}`);
    const run = await childOn(request, program, { of: request.whole, side, ...kept[side] });
    return run.facts;
  };
  return {
    raw: await read("raw", "./servers/raw-reads.ts"),
    custody: await read("custody", "./server-reads.ts"),
  };
}

async function measureOperations(request: EnginesRequest): Promise<EnginesResult["operations"]> {
  request.say("operations: blob, cache, queue, stream");
  const name = newName();
  const urls = Object.fromEntries(
    (["blob", "cache", "queue", "stream"] as const).flatMap((role) => {
      const url = urlOf(ROLE_SERVERS[role]);
      return url === undefined ? [] : [[role, installationUrl(url, name)]];
    }),
  );
  const { directory, part } = request;
  const asked = { ...part, directory, durability: "durable", operations: urls } as const;
  // What is written to Kafka the child deletes itself.
  const { stream: _stream, ...dropped } = urls;
  try {
    const { facts } = await runChild("./servers/operations-run.ts", asked);
    // Written by our own child process.
    return facts as EnginesResult["operations"];
  } finally {
    await dropInstallation(dropped);
  }
}

type RunOn = ServerRequest & { readonly of: EnginesRequest["whole"] };

async function runOn(request: EnginesRequest, side: WrittenSide, on: RunOn): Promise<ChildRun> {
  rmSync(join(request.directory, side), { recursive: true, force: true });
  return childOn(request, PROGRAMS[side], { ...on, side });
}

async function childOn(
  request: EnginesRequest,
  program: string,
  { of, side, targets, urls }: RunOn & { readonly side: WrittenSide },
): Promise<ChildRun> {
  const directory = join(request.directory, side);
  mkdirSync(directory, { recursive: true });
  const servers = { targets, urls };
  return runChild(program, { ...of, directory, durability: "durable", servers });
}

async function drop({ urls }: ServerRequest, side: WrittenSide): Promise<void> {
  for (const [target, url] of Object.entries(urls) as [keyof Urls, string][]) {
    if (target === "journal") continue;
    if (side === "raw" && target === "graph") await dropRawGraph(url);
    else await dropInstallation({ [roleOf(target)]: url });
  }
}

function newInstallation(targets: readonly Target[]): ServerRequest {
  const name = newName();
  const urls: Record<string, string> = {};
  for (const target of targets) {
    const stores = target === "journal" ? (["relational", "blob"] as const) : [target];
    for (const [index, servers] of serversOf(target).entries()) {
      const url = urlOf(servers);
      if (url !== undefined) urls[stores[index] ?? target] = installationUrl(url, name);
    }
  }
  return { targets, urls };
}

let names = 0;

/** No two runs on the same servers meet, and what a killed one left is seen to be this benchmark's. */
function newName(): string {
  names += 1;
  return `bench${process.pid}x${names}`;
}

/** The servers that could play each part of a target. */
function serversOf(target: Target): readonly (readonly ServerName[])[] {
  if (target === "journal") return [ROLE_SERVERS.relational, ROLE_SERVERS.blob];
  if (target === "series-influxdb") return [["influxdb"]];
  return [ROLE_SERVERS[target]];
}

function urlOf(servers: readonly ServerName[]): string | undefined {
  return servers
    .map((server) => process.env[serverVariable(server)])
    .find((url) => url !== undefined && url !== "");
}
