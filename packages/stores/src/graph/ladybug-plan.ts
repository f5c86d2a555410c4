// LadybugDB draws its plan: boxes of this width side by side, one space between them.
const BOX_WIDTH = 38;
const LATER = /^(?:NumOutputTuples|ExecutionTime|TotalTime):|^-+$/;

/**
 * Takes the steps out of LadybugDB's drawing of a plan, from the answer down: a step to a line, indented by
 * how far it is from the answer. What is only known after running is left out.
 */
export function planSteps(drawing: string): readonly string[] {
  const steps: string[] = [];
  let depth = -2;
  let boxes = new Map<number, string[]>();
  for (const line of drawing.split("\n")) {
    for (const [column, part] of [...cellsOf(line)].entries()) {
      if (part.startsWith("┌")) boxes.set(column, []);
      const text = /^│\s*(.*?)\s*│/.exec(part)?.[1] ?? "";
      if (text !== "" && !LATER.test(text)) boxes.get(column)?.push(text);
    }
    if (!line.trimStart().startsWith("└")) continue;
    depth += 1;
    // The first box is the heading.
    if (depth >= 0)
      for (const box of boxes.values()) steps.push("  ".repeat(depth) + box.join(" "));
    boxes = new Map();
  }
  return steps;
}

function* cellsOf(line: string): Generator<string> {
  for (let start = 0; start < line.length; start += BOX_WIDTH + 1) {
    yield line.slice(start, start + BOX_WIDTH);
  }
}
