/** The plan that a server of MongoDB's protocol has chosen, a line for each stage. */
export function planLines(explained: unknown): readonly string[] {
  const plan = member(member(explained, "queryPlanner"), "winningPlan") ?? explained;
  return stageLines(plan, 0);
}

// Members that are stages themselves: one, several, or one a shard.
const INPUTS: ReadonlySet<string> = new Set([
  "inputStage",
  "inputStages",
  "outerStage",
  "innerStage",
  "shards",
  "winningPlan",
  "queryPlan",
]);
// What MongoDB's newer engine says beside `queryPlan`, in its own words.
const HIDDEN: ReadonlySet<string> = new Set(["slotBasedPlan", "planNodeId"]);

/** A stage with what it is about, then the stages that feed it. */
function stageLines(stage: unknown, depth: number): readonly string[] {
  if (typeof stage !== "object" || stage === null) return [String(stage)];
  const about: string[] = [];
  const inputs: unknown[] = [];
  for (const [name, value] of Object.entries(stage)) {
    if (INPUTS.has(name)) inputs.push(value);
    else if (!HIDDEN.has(name)) about.push(`${name} ${textOf(value)}`);
  }
  const below = inputs
    .flat()
    .flatMap((input) => stageLines(input, about.length === 0 ? depth : depth + 1));
  return about.length === 0 ? below : [`${"  ".repeat(depth)}${about.join(", ")}`, ...below];
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return JSON.stringify(value, (_name, one: unknown) =>
    typeof one === "bigint" ? String(one) : one,
  );
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}
