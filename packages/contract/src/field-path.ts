type Primitive = string | number | bigint | boolean | symbol | null | undefined;
type Shallower = [never, 0, 1, 2, 3, 4, 5];

/** Members that are declared by name; an index signature for further ones is left out. */
type Declared<Fields> = keyof {
  [Name in keyof Fields as string extends Name ? never : number extends Name ? never : Name]: true;
} &
  string;

/**
 * The names of a record's fields as dotted paths: `labels.operator`, `turns[].content`.
 *
 * `[]` steps through the elements of an array. A field of unknown or free-form shape allows any
 * path below it. Five levels are followed.
 */
export type FieldPath<Fields, Depth extends number = 5> = [Depth] extends [never]
  ? never
  : [Declared<Fields>] extends [never]
    ? string
    : {
        [Name in Declared<Fields>]: Below<
          Name,
          NonNullable<Name extends keyof Fields ? Fields[Name] : never>,
          Depth
        >;
      }[Declared<Fields>];

type Below<Path extends string, Value, Depth extends number> = unknown extends Value
  ? Path | `${Path}.${string}` | `${Path}[]${string}`
  : Value extends Primitive
    ? Path
    : Value extends readonly (infer Element)[]
      ? Path | `${Path}[]` | ElementPath<Path, NonNullable<Element>, Depth>
      : Path | `${Path}.${FieldPath<Value, Shallower[Depth]>}`;

type ElementPath<Path extends string, Element, Depth extends number> = Element extends Primitive
  ? never
  : `${Path}[].${FieldPath<Element, Shallower[Depth]>}`;

/** One step of a path: a member's name, and whether its value's elements are stepped through. */
export interface PathStep {
  readonly name: string;
  readonly isEach: boolean;
}

/** Splits a path into its steps: `turns[].content` has two, the first of which is `isEach`. */
export function pathSteps(path: string): readonly PathStep[] {
  return path.split(".").map((part) => {
    const isEach = part.endsWith("[]");
    return { name: isEach ? part.slice(0, -2) : part, isEach };
  });
}

/** Returns a function that lists every value at `path`, in document order; absent and null are left out. */
export function compilePath(path: string): (record: unknown) => readonly unknown[] {
  const only = compileSingle(path);
  if (only !== undefined) {
    return (record) => {
      const value = only(record);
      return value === undefined ? NONE : [value];
    };
  }
  const steps = pathSteps(path);
  return (record) => {
    const values: unknown[] = [];
    collect(record, steps, 0, values);
    return values;
  };
}

const NONE: readonly unknown[] = [];

/**
 * Returns a function that takes the one value at a path without `[]`, `undefined` where it is absent or
 * null; `undefined` for a path that may have several values.
 */
export function compileSingle(path: string): ((record: unknown) => unknown) | undefined {
  if (path.includes("[]")) return undefined;
  const names = path.split(".");
  const [only = ""] = names;
  if (names.length === 1) return (record) => member(record, only) ?? undefined;
  return (record) => {
    let value = record;
    for (const name of names) value = member(value, name);
    return value ?? undefined;
  };
}

/** Appends what a value holds at the steps from `index` on. Every record of every store comes through here. */
function collect(value: unknown, steps: readonly PathStep[], index: number, into: unknown[]): void {
  if (value === undefined || value === null) return;
  const step = steps[index];
  if (step === undefined) {
    into.push(value);
    return;
  }
  const found = member(value, step.name);
  if (!step.isEach) {
    collect(found, steps, index + 1, into);
  } else if (Array.isArray(found)) {
    for (const element of found as readonly unknown[]) collect(element, steps, index + 1, into);
  }
}

/** Own members of objects only: a path never reaches what is inherited, nor an array's length. */
function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  if (!Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
