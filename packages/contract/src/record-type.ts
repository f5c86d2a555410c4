import type { z } from "zod";

import { ContractError } from "./errors.ts";
import { compilePath, pathSteps } from "./field-path.ts";
import type { FieldPath } from "./field-path.ts";
import type { Placements, ValueExpression } from "./placement.ts";
import { asInstantMs } from "./value-expression.ts";

/**
 * How records of a type may change.
 *
 * - `append`: a changed record under an old id is refused.
 * - `versioned`: upserts and deletes; the entry's sequence is the version.
 * - `transactional`: versioned, and also written to its relational table inside the commit
 *   transaction, so that a violated constraint rejects the commit.
 */
export type RecordMode = "append" | "versioned" | "transactional";

/** Where a record's id comes from. */
export type IdRule<Path extends string = string> =
  /** The text in this field; it must be 1 to 512 characters long. */
  | { readonly field: Path }
  /** SHA-256 over the values of these fields: one record for each combination. */
  | { readonly key: readonly Path[] }
  /** The observed day and SHA-256 over the whole record: the same content is the same record. */
  | { readonly content: true }
  /** A new UUIDv7 (RFC 9562) for each record. */
  | { readonly generated: true };

/** Personal fields are sealed with the key of the person they are about, and die with that key. */
export interface PersonalRule<Path extends string = string> {
  /** The sealed fields, or `"record"` to seal every field. */
  readonly fields: readonly Path[] | "record";
  /** The field that names the data subject. */
  readonly subject: Path;
}

/** What happens to a record that names something unknown. */
export interface ReferenceRule<Path extends string = string> {
  readonly field: Path;
  /** The type that must hold the named id, in this tenant or, for shared types, in `_system`. */
  readonly type: string;
  /** `reject-commit` refuses the whole batch, `reject-record` this record alone. */
  readonly onUnknown: "reject-commit" | "reject-record";
}

/** How long a record stays where; durations are ISO 8601 (`P90D`, `P7Y`). */
export interface Lifecycle {
  readonly hot: string;
  readonly cold: string;
  readonly then: "dispose" | "keep";
  /** What age is counted from. */
  readonly from: "observedAt" | "receivedAt";
}

/** What a pack declares; see {@link defineRecordType}. */
export interface RecordTypeDeclaration<Schema extends z.ZodObject, Path extends string> {
  /** `pack/name`, both in lower case snake case. */
  readonly name: string;
  /** Starts at 1 and grows by 1. */
  readonly version: number;
  /** One sentence: what such a record is. */
  readonly title: string;
  /**
   * What the fields must be. It checks and changes nothing: a record is stored exactly as it was given,
   * so defaults, transforms and the members that a schema leaves out of its output have no effect.
   */
  readonly schema: Schema;
  readonly id: IdRule<Path>;
  readonly mode: RecordMode;
  /** The field with the instant the record was observed: RFC 3339 text or epoch milliseconds. */
  readonly observedAt?: Path;
  /** `tenant` (default), `shared` (in `_system`, read by every tenant) or `owner` (a file per owner). */
  readonly scope?: "tenant" | "shared" | "owner";
  /** The text field that names whose file a record lies in; given exactly when `scope` is `owner`. */
  readonly owner?: Path;
  readonly personal?: PersonalRule<Path>;
  readonly references?: readonly ReferenceRule<Path>[];
  readonly placements: Placements<Path>;
  readonly lifecycle?: Lifecycle;
  /**
   * True for records that a restore to an earlier instant must not take back: legal holds, dispositions,
   * erasures. Their newest versions that are known are committed again before the restored records can be read.
   */
  readonly outlivesRestore?: boolean;
  /** Turns the fields of the version before this one into fields of this version. */
  readonly upcast?: (fields: Record<string, unknown>) => Record<string, unknown>;
  /** Earlier version, so that readers can climb from it; needed from version 2 on. */
  readonly previous?: RecordType;
}

/** A declared kind of record. All that Custody does for it follows from this declaration. */
export type RecordType = RecordTypeDeclaration<z.ZodObject, string>;

const NAME = /^[a-z][a-z0-9_]{0,62}\/[a-z][a-z0-9_]{0,62}$/;

/**
 * Declares a record type. A path that names no field of the schema does not compile.
 *
 * @throws ContractError `invalid-type` for a malformed name or version, a type whose personal
 *   fields have no subject, one that would put a personal field into a tag, a node or an event, or one
 *   of `scope: owner` that names no owner or would be kept where owners are not apart.
 */
export function defineRecordType<Schema extends z.ZodObject>(
  declaration: RecordTypeDeclaration<Schema, FieldPath<z.output<Schema>>>,
): RecordType {
  const type = declaration as unknown as RecordType;
  checkRecordType(type);
  return type;
}

/** The rules of {@link defineRecordType} for a type of unknown origin; run again at registration. */
export function checkRecordType(type: RecordType): void {
  const refuse = (reason: string): never => {
    throw new ContractError("invalid-type", `record type ${type.name}: ${reason}`);
  };
  if (!NAME.test(type.name)) refuse("the name must be pack/name in lower-case snake case");
  if (!Number.isInteger(type.version) || type.version < 1) refuse("the version must be 1 or more");
  if (type.version > 1 && type.previous?.version !== type.version - 1) {
    refuse(`version ${type.version} must name version ${type.version - 1} as its previous one`);
  }
  if (type.version > 1 && type.upcast === undefined) refuse("a later version needs an upcast");
  if (type.mode === "transactional" && type.placements.relational === undefined) {
    refuse("a transactional type needs a relational placement");
  }
  checkOwner(type, refuse);
  checkPersonal(type, refuse);
  for (const path of declaredPaths(type)) {
    if (!hasField(type.schema, path)) refuse(`there is no field ${path}`);
  }
}

function checkOwner(type: RecordType, refuse: (reason: string) => never): void {
  const { scope, owner, mode, placements } = type;
  if (scope !== "owner") {
    if (owner !== undefined) refuse("only a type of scope owner names its owner's field");
    return;
  }
  if (owner === undefined) return refuse("a type of scope owner needs the field of its owner");
  if (owner.includes("[]")) refuse(`${owner} may have several values, and a record has one owner`);
  if (mode === "transactional") {
    refuse("the table of a transactional type holds all owners, so it cannot be of scope owner");
  }
  if (placements.graph !== undefined) {
    refuse("the graph joins records of all owners, so a type of scope owner has no place in it");
  }
}

function checkPersonal(type: RecordType, refuse: (reason: string) => never): void {
  const { personal, placements } = type;
  if (personal === undefined) return;
  if (typeof personal.subject !== "string" || personal.subject === "") {
    refuse("personal fields need a subject: name the field that says whom they are about");
  }
  for (const expression of exposedExpressions(placements)) {
    const path = pathOf(expression);
    if (isPersonal(type, path)) {
      refuse(`the personal field ${path} may be no tag, no node and no event fact`);
    }
  }
}

/** What leaves a record for places that outlive it or are shared by many: tags, nodes, events. */
function exposedExpressions({ series = [], stream, graph }: Placements): ValueExpression[] {
  const { nodes = [], edges = [] } = graph ?? {};
  return [
    ...series.flatMap(({ tags }) => Object.values(tags)),
    ...(stream?.facts ?? []),
    ...nodes.map(({ id }) => id),
    ...nodes.flatMap(({ properties = {} }) => Object.values(properties).map(({ from }) => from)),
    ...edges.flatMap(({ from, to }) => [from.id, to.id]),
  ];
}

/** Whether `path` is, or lies in, a personal field of the type. */
export function isPersonal(type: RecordType, path: string): boolean {
  const { personal } = type;
  if (personal === undefined) return false;
  if (path === personal.subject || personal.fields === "record") return true;
  const plain = (text: string): string => text.replaceAll("[]", "");
  return personal.fields.some(
    (field) => plain(path) === plain(field) || plain(path).startsWith(`${plain(field)}.`),
  );
}

function pathOf(expression: ValueExpression): string {
  return typeof expression === "string" ? expression : expression.path;
}

/** Every path the declaration mentions, placements included. */
function declaredPaths(type: RecordType): readonly string[] {
  const paths: string[] = [];
  if ("field" in type.id) paths.push(type.id.field);
  if ("key" in type.id) paths.push(...type.id.key);
  if (type.observedAt !== undefined) paths.push(type.observedAt);
  if (type.owner !== undefined) paths.push(type.owner);
  if (type.personal !== undefined) {
    paths.push(type.personal.subject);
    if (type.personal.fields !== "record") paths.push(...type.personal.fields);
  }
  for (const reference of type.references ?? []) paths.push(reference.field);
  collectPaths(type.placements, paths);
  return paths;
}

const PATH_MEMBERS = new Set(["from", "path", "at", "id"]);
const PATH_MAPS = new Set(["filters", "tags", "facts", "links"]);
const FIELD_MAP = "fields";

function collectPaths(placement: unknown, paths: string[]): void {
  if (typeof placement !== "object" || placement === null) return;
  for (const [name, value] of Object.entries(placement) as [string, unknown][]) {
    if (typeof value === "string") {
      if (PATH_MEMBERS.has(name)) paths.push(value);
    } else if (name === FIELD_MAP && typeof value === "object" && value !== null) {
      // A series field is a bare path or an expression, a search field an object around one.
      const fields: unknown[] = Object.values(value);
      paths.push(...fields.filter((one) => typeof one === "string"));
      for (const one of fields) collectPaths(one, paths);
    } else if (PATH_MAPS.has(name) && typeof value === "object" && value !== null) {
      const expressions = Object.values(value as Record<string, ValueExpression>);
      paths.push(...expressions.map(pathOf));
    } else {
      collectPaths(value, paths);
    }
  }
}

function hasField(schema: z.ZodObject, path: string): boolean {
  const first = pathSteps(path)[0];
  return first !== undefined && Object.hasOwn(schema.shape, first.name);
}

/** Returns a function that reads a record's observed instant (epoch ms), where the type has one. */
export function compileObservedAt(type: RecordType): (fields: unknown) => number | undefined {
  if (type.observedAt === undefined) return () => undefined;
  const read = compilePath(type.observedAt);
  return (fields) => asInstantMs(read(fields)[0]);
}
