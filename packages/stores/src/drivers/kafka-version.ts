import type * as Kafka from "@platformatic/kafka";

import { StoreError } from "../errors.ts";

// Topics are read by their ids (KIP-516), which Kafka 3.1 was the first to do.
const NEEDED: Readonly<Record<string, number>> = { Fetch: 13, Metadata: 12 };

/** @throws StoreError `unsupported` for a cluster that is too old, saying what is needed. */
export function checkKafkaApis(versions: ReadonlyMap<string, number>): void {
  for (const [api, needed] of Object.entries(NEEDED)) {
    const version = versions.get(api) ?? -1;
    if (version >= needed) continue;
    throw new StoreError(
      "unsupported",
      `Kafka is too old: 3.1 or later is needed (it speaks version ${version} of ${api}, not ${needed})`,
    );
  }
}

// First level of the feature `metadata.version` of each release (Kafka's MetadataVersion.java); a
// broker never tells its version itself.
const RELEASES: readonly (readonly [level: number, release: string])[] = [
  [30, "4.3"],
  [28, "4.2"],
  [26, "4.1"],
  [22, "4.0"],
  [21, "3.9"],
  [20, "3.8"],
  [15, "3.7"],
  [12, "3.6"],
  [9, "3.5"],
  [8, "3.4"],
  [4, "3.3"],
];

/** The release that a broker's answer to `ApiVersions` speaks of: `4.3`, or `3.1 or later`. */
export function kafkaVersion({
  supportedFeatures = [],
}: Kafka.apiVersionsV3.ApiVersionsResponse): string {
  const level = supportedFeatures.find(({ name }) => name === "metadata.version")?.maxVersion ?? 0;
  const [newest, release = ""] = RELEASES[0] ?? [0];
  if (level > newest) return `${release} or later`;
  return RELEASES.find(([first]) => level >= first)?.[1] ?? "3.1 or later";
}
