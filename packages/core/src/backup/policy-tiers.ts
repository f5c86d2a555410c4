/** How much an installation would miss what is lost; the most important first. */
export const TIERS = ["critical", "important", "per-user", "replaceable"] as const;
export type Tier = (typeof TIERS)[number];

/** What belongs to a tier, and how old its newest backup may become. */
export interface TierRule {
  /** Record types: `redteam/hits`, or all of a pack, `redteam/*`. */
  readonly types?: readonly string[];
  /** Beginnings of blobs' keys: `datasets/`. */
  readonly blobs?: readonly string[];
  /** People whose own records belong here, whatever their type. */
  readonly owners?: readonly string[];
  /** `15m`, `1h`, `7d`: past this age of its newest backup, `custody scheduler status` complains. */
  readonly newestWithin?: string;
}

export type TierRules = Readonly<Partial<Record<Tier, TierRule>>>;

/**
 * The tier of a record, by its type and its owner. An owner who is named comes before the type; of
 * the types' patterns the longest that fits decides. What nothing names is `per-user` where it has
 * an owner and `important` where it has none.
 */
export function tierOfRecord(
  rules: TierRules,
  record: { readonly type: string; readonly owner?: string },
): Tier {
  const { type, owner } = record;
  const ofOwner = TIERS.find(
    (tier) => owner !== undefined && rules[tier]?.owners?.includes(owner) === true,
  );
  if (ofOwner !== undefined) return ofOwner;
  const ofType = longest(rules, ({ types = [] }) =>
    types.filter((pattern) => isOfType(pattern, type)),
  );
  return ofType ?? (owner === undefined ? "important" : "per-user");
}

/** The tier of a blob, by the longest beginning of its key that a tier names; else `important`. */
export function tierOfBlob(rules: TierRules, key: string): Tier {
  return (
    longest(rules, ({ blobs = [] }) => blobs.filter((prefix) => key.startsWith(prefix))) ??
    "important"
  );
}

/** The tier with the longest of the patterns that fit; of two as long, the more important one. */
function longest(
  rules: TierRules,
  fitting: (rule: TierRule) => readonly string[],
): Tier | undefined {
  let found: { readonly tier: Tier; readonly length: number } | undefined;
  for (const tier of TIERS) {
    for (const { length } of fitting(rules[tier] ?? {})) {
      if (found === undefined || length > found.length) found = { tier, length };
    }
  }
  return found?.tier;
}

function isOfType(pattern: string, type: string): boolean {
  return pattern.endsWith("/*") ? type.startsWith(pattern.slice(0, -1)) : pattern === type;
}
