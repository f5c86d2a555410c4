import { compilePath } from "@custody/contract/field-path";
import type { ValueExpression } from "@custody/contract/placement";
import { compileValue, compileValues } from "@custody/contract/value-expression";
import type { TakeValue } from "@custody/contract/value-expression";

/**
 * Where a value was found: the record, then each array element that was stepped into on the way.
 * `packages[].cves[]` has frames of three.
 */
export type Frame = readonly unknown[];

/** A value with its frame, so that what stands beside it can be taken from the same array element. */
export interface FramedValue {
  readonly value: unknown;
  readonly frame: Frame;
}

/** Compiles an expression to a function that lists every value with its frame, whatever its `take` says. */
export function compileFramed(expression: ValueExpression): (record: unknown) => FramedValue[] {
  const path = pathOf(expression);
  const { levels, tail } = split(path);
  const steps = levels.map((level) => compilePath(level));
  const values = tail === "" ? undefined : compilePath(tail);
  const isKept = compileCondition(expression);
  if (values !== undefined && levels.length === 0 && isKept === undefined) {
    return (record) => values(record).map((value) => ({ value, frame: [record] }));
  }
  return (record) => {
    let frames: Frame[] = [[record]];
    for (const step of steps) {
      frames = frames.flatMap((frame) => step(frame.at(-1)).map((element) => [...frame, element]));
    }
    const kept = isKept === undefined ? frames : frames.filter(isKept);
    return kept.flatMap((frame) => {
      const last = frame.at(-1);
      return (values === undefined ? [last] : values(last)).map((value) => ({ value, frame }));
    });
  };
}

/** Compiles an expression so that it takes its value from the element that `beside` stands in, where both share an array. */
export function compileBeside(expression: ValueExpression, beside: ValueExpression): Take<unknown> {
  const { depth, relative } = relativeTo(expression, beside);
  if (relative !== undefined) return at(depth, compileValue(relative));
  const take = typeof expression === "string" ? "first" : (expression.take ?? "first");
  const whole = compileValue({ path: "element", take });
  return at(depth, (element) => whole({ element }));
}

/** As {@link compileBeside}, but lists every value. */
export function compileAllBeside(
  expression: ValueExpression,
  beside: ValueExpression,
): Take<readonly unknown[]> {
  const { depth, relative } = relativeTo(expression, beside);
  return relative === undefined
    ? at(depth, (element) => [element])
    : at(depth, compileValues(relative));
}

type Take<Value> = (frame: Frame) => Value;

function at<Value>(depth: number, take: (element: unknown) => Value): Take<Value> {
  return (frame) => take(frame[depth]);
}

function compileCondition(expression: ValueExpression): ((frame: Frame) => boolean) | undefined {
  if (typeof expression === "string" || expression.where === undefined) return undefined;
  const { path, equals } = expression.where;
  const depth = sharedDepth(path, expression.path);
  const rest = below(path, depth);
  const condition: TakeValue = rest === "" ? (element) => [element] : compilePath(rest);
  return (frame) => (condition(frame[depth]) as readonly unknown[]).includes(equals);
}

/** An expression seen from the deepest array element it shares with another; `undefined` when it is that element. */
function relativeTo(
  expression: ValueExpression,
  beside: ValueExpression,
): { readonly depth: number; readonly relative: ValueExpression | undefined } {
  const anchor = pathOf(beside);
  const path = pathOf(expression);
  const where = typeof expression === "string" ? undefined : expression.where;
  const take = typeof expression === "string" ? undefined : expression.take;
  let depth = sharedDepth(path, anchor);
  if (where !== undefined) {
    depth = Math.min(depth, sharedDepth(where.path, anchor));
    // An element has no path of its own for a condition to stand beside.
    while (depth > 0 && (below(path, depth) === "" || below(where.path, depth) === "")) depth -= 1;
  }
  const rest = below(path, depth);
  if (rest === "") return { depth, relative: undefined };
  return {
    depth,
    relative: {
      path: rest,
      ...(take === undefined ? {} : { take }),
      ...(where === undefined
        ? {}
        : { where: { path: below(where.path, depth), equals: where.equals } }),
    },
  };
}

function pathOf(expression: ValueExpression): string {
  return typeof expression === "string" ? expression : expression.path;
}

/** `a.b[].c[].d` has the levels `a.b[]` and `c[]`, and the tail `d`. */
function split(path: string): { readonly levels: readonly string[]; readonly tail: string } {
  const levels: string[] = [];
  let level: string[] = [];
  for (const part of path.split(".")) {
    level.push(part);
    if (!part.endsWith("[]")) continue;
    levels.push(level.join("."));
    level = [];
  }
  return { levels, tail: level.join(".") };
}

function sharedDepth(left: string, right: string): number {
  const other = split(right).levels;
  const differs = split(left).levels.findIndex((level, index) => level !== other[index]);
  return differs === -1 ? split(left).levels.length : differs;
}

/** What is left of a path below its first `depth` levels. */
function below(path: string, depth: number): string {
  const { levels, tail } = split(path);
  return [...levels.slice(depth), ...(tail === "" ? [] : [tail])].join(".");
}
