/** How much an installation would miss what is lost; the most important first. */
export const TIERS = ["critical", "important", "per-user", "replaceable"] as const;
export type Tier = (typeof TIERS)[number];

/**
 * What belongs to a tier, and how old its newest backup may become. A tenant's journal is one chain and
 * is in every backup whole, so that tiers part blobs, and records never.
 */
export interface TierRule {
  /** Beginnings of blobs' keys: `datasets/`, `users/ana/`. */
  readonly blobs?: readonly string[];
  /** `15m`, `1h`, `7d`: past this age of its newest backup, `custody scheduler status` complains. */
  readonly newestWithin?: string;
}

export type TierRules = Readonly<Partial<Record<Tier, TierRule>>>;

/**
 * The tier of a blob, by the longest beginning of its key that a tier names; of two tiers that name the
 * same the more important one; else `important`.
 */
export function tierOfBlob(rules: TierRules, key: string): Tier {
  let found: { readonly tier: Tier; readonly length: number } | undefined;
  for (const tier of TIERS) {
    for (const prefix of rules[tier]?.blobs ?? []) {
      const isLonger = found === undefined || prefix.length > found.length;
      if (isLonger && key.startsWith(prefix)) found = { tier, length: prefix.length };
    }
  }
  return found?.tier ?? "important";
}
