import { parseJson } from "@custody/contract/json";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { EvidenceIntake, IntakePosition } from "@custody/stores/stream/intake";
import { z } from "zod";

import { CoreError } from "../errors.ts";
import type { CommitRecord } from "../journal/commit-request.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import { streamPositions } from "../system-types.ts";

/** What is read from, and as what. */
export interface ConsumeSource {
  /** As the server names it. */
  readonly topic: string;
  /** The record type that each message holds one or an array of, as JSON. */
  readonly type: string;
}

/** How far a topic has been committed, and the versions of the records that say so. */
export interface TopicPositions {
  readonly positions: readonly IntakePosition[];
  /** By partition; 0 where none was committed yet. */
  readonly versions: ReadonlyMap<number, number>;
}

export interface PositionParts {
  readonly journal: JournalStore;
  readonly reader: Pick<JournalReader, "recordAt">;
}

const STORED = z.object({ type: z.string(), next_offset: z.number() });

/**
 * Reads from the journal how far a topic was committed; a partition not read yet begins at its oldest message.
 *
 * @throws CoreError `conflict` when the topic is read as another type.
 */
export async function readPositions(
  { journal, reader }: PositionParts,
  scope: Scope,
  { topic, type }: ConsumeSource,
  intake: EvidenceIntake,
): Promise<TopicPositions> {
  const partitions = await intake.partitions(scope, topic);
  const ids = partitions.map(({ partition }) => positionId(topic, partition));
  const found = await journal.lookup(scope, streamPositions.name, ids);
  const positions: IntakePosition[] = [];
  const versions = new Map<number, number>();
  for (const [index, { partition, start }] of partitions.entries()) {
    const at = found[index];
    versions.set(partition, at === undefined || at.isDeleted ? 0 : at.sequence);
    if (at === undefined || at.isDeleted) {
      positions.push({ partition, offset: start });
      continue;
    }
    const stored = STORED.parse(parseJson((await reader.recordAt(scope, at)).text));
    if (stored.type !== type) {
      throw new CoreError(
        "conflict",
        `topic ${topic} is read as ${stored.type} already; delete ${streamPositions.name} ${positionId(topic, partition)} to read it anew`,
        { at: `${streamPositions.name} ${positionId(topic, partition)}` },
      );
    }
    positions.push({ partition, offset: stored.next_offset });
  }
  return { positions, versions };
}

/** The records that say how far a topic is committed, and the versions they must have had before. */
export function positionRecords(
  { topic, type }: ConsumeSource,
  reached: readonly IntakePosition[],
  { versions, now }: { readonly versions: TopicPositions["versions"]; readonly now: number },
): { readonly put: readonly CommitRecord[]; readonly ifVersion: Readonly<Record<string, number>> } {
  const put = reached.map(({ partition, offset }) => ({
    fields: {
      id: positionId(topic, partition),
      topic,
      partition,
      type,
      next_offset: offset,
      committed_at: new Date(now).toISOString(),
    },
  }));
  const ifVersion = Object.fromEntries(
    reached.map(({ partition }) => [positionId(topic, partition), versions.get(partition) ?? 0]),
  );
  return { put, ifVersion };
}

function positionId(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
