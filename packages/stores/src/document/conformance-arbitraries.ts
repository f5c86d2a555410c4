import fc from "fast-check";

import type { Filter, FilterLiteral } from "@custody/contract/filter";

import type { DocumentQuery } from "./port.ts";

/** Values that engines are known to take for one another, few enough that filters meet documents. */
const LITERALS: readonly FilterLiteral[] = [
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  1.5,
  1e300,
  9_007_199_254_740_992,
  9_007_199_254_740_993n,
  -9_007_199_254_740_993n,
  9_223_372_036_854_775_807n,
  2n ** 70n,
  2n ** 70n + 1n,
  "",
  "1",
  "x",
  "é",
  "x\0y",
  "\uffee",
  "\u{1f600}",
];

// Few and often the same, or hardly any filter would tell documents apart.
const literal = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<FilterLiteral[]>(null, 1, "x", true) },
  { weight: 2, arbitrary: fc.constantFrom(...LITERALS) },
);
const PLAIN_NAMES = ["a", "b", "c"] as const;
const STEP_NAMES = ["d e", "7", "__proto__"] as const;
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...PLAIN_NAMES) },
  { weight: 1, arbitrary: fc.constantFrom(...STEP_NAMES, "%", "$x") },
);
const stepName = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...PLAIN_NAMES) },
  { weight: 1, arbitrary: fc.constantFrom(...STEP_NAMES) },
);

/** Any small JSON value whose members are named so that paths of {@link arbitraryPath} lead to them. */
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    literal,
    fc.array(tie("value"), { maxLength: 3 }),
    members(tie("value")),
  ),
})).value;

function members(member: fc.Arbitrary<unknown>, minLength = 0): fc.Arbitrary<unknown> {
  return fc
    .array(fc.tuple(name, member), { minLength, maxLength: 5 })
    .map((entries) => Object.fromEntries(entries));
}

/** A record's fields. */
export const arbitraryFields: fc.Arbitrary<unknown> = members(value, 3);

/** A path of one to three steps, some through `[]`. */
const arbitraryPath: fc.Arbitrary<string> = fc
  .array(
    fc.tuple(stepName, fc.boolean()).map(([step, isEach]) => (isEach ? `${step}[]` : step)),
    { minLength: 1, maxLength: 3 },
  )
  .map((steps) => steps.join("."));

const ordered = literal.filter((one) => one !== null && typeof one !== "boolean");

const comparison: fc.Arbitrary<Filter> = fc.oneof(
  fc.record({ op: fc.constantFrom("eq", "ne"), path: arbitraryPath, value: literal }),
  fc.record({ op: fc.constantFrom("gt", "gte", "lt", "lte"), path: arbitraryPath, value: ordered }),
  fc.record({
    op: fc.constantFrom("in", "nin", "all"),
    path: arbitraryPath,
    values: fc.array(literal, { maxLength: 3 }),
  }),
  fc.record({ op: fc.constant("exists"), path: arbitraryPath, value: fc.boolean() }),
  fc.record({ op: fc.constant("size"), path: arbitraryPath, value: fc.nat(3) }),
);

/** A filter of every operator, some within one another. */
export const arbitraryFilter: fc.Arbitrary<Filter> = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    comparison,
    fc.record({
      op: fc.constantFrom("and", "or", "nor"),
      filters: fc.array(tie("filter"), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({ op: fc.constant("not"), filter: tie("filter") }),
    fc.record({ op: fc.constant("elemMatch"), path: arbitraryPath, filter: tie("filter") }),
  ),
})).filter;

/** One or two paths with directions. */
export const arbitrarySort: fc.Arbitrary<NonNullable<DocumentQuery["sort"]>> = fc.array(
  fc.record({ path: arbitraryPath, direction: fc.constantFrom("asc", "desc") }),
  { minLength: 1, maxLength: 2 },
);
