import { hash } from "node:crypto";

import { compilePath } from "@custody/contract/field-path";
import { canonicalJson } from "@custody/contract/json";
import type { AnalyticsPlacement, Column, ColumnType } from "@custody/contract/placement";
import { compileObservedAt, isPersonal } from "@custody/contract/record-type";
import type { RecordType } from "@custody/contract/record-type";
import { z } from "zod";

import { compileOwner } from "../projection/owner-scope.ts";

/** A record type with everything that is worked out once. */
export interface CompiledType {
  readonly name: string;
  readonly declaration: RecordType;
  readonly observedAt: (fields: unknown) => number | undefined;
  /** Reads a record's owner; undefined for types that are not kept per owner. */
  readonly ownerOf: ((fields: unknown) => string | undefined) | undefined;
  /** The values its id is made of; undefined for content and generated ids. */
  readonly idValues: ((fields: unknown) => readonly unknown[]) | undefined;
  /** True when the id is made of personal data and must be a keyed hash. */
  readonly hasPersonalId: boolean;
  readonly references: readonly CompiledReference[];
  /** The analytics placement with its columns filled in. */
  readonly analytics: CompiledAnalytics;
  /** JSON Schema of the fields (draft 2020-12), for people and for comparing versions. */
  readonly jsonSchema: JsonSchema;
}

export interface CompiledReference {
  readonly type: string;
  readonly field: string;
  readonly onUnknown: "reject-commit" | "reject-record";
  readonly values: (fields: unknown) => readonly unknown[];
}

/** The parts of a JSON Schema that are looked at. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

// A JSON Schema costs more than all the rest of opening an installation, and a declaration never changes.
const compiled = new WeakMap<RecordType, CompiledType>();

/** Works out what a type's declaration implies. */
export function compileRecordType(declaration: RecordType): CompiledType {
  const known = compiled.get(declaration) ?? compile(declaration);
  compiled.set(declaration, known);
  return known;
}

function compile(declaration: RecordType): CompiledType {
  const { id } = declaration;
  const idPaths = "field" in id ? [id.field] : "key" in id ? id.key : undefined;
  const readers = idPaths?.map(compilePath);
  const jsonSchema = z.toJSONSchema(declaration.schema, { unrepresentable: "any", io: "output" });
  return {
    name: declaration.name,
    declaration,
    observedAt: compileObservedAt(declaration),
    ownerOf: declaration.owner === undefined ? undefined : compileOwner(declaration.owner),
    idValues: readers && ((fields) => readers.map((read) => read(fields)[0])),
    hasPersonalId: idPaths?.some((path) => isPersonal(declaration, path)) ?? false,
    references: (declaration.references ?? []).map((reference) => ({
      ...reference,
      values: compilePath(reference.field),
    })),
    analytics: analyticsOf(declaration, jsonSchema as JsonSchema),
    jsonSchema: jsonSchema as JsonSchema,
  };
}

type CompiledAnalytics = AnalyticsPlacement &
  Required<Pick<AnalyticsPlacement, "columns" | "order">>;

function analyticsOf(declaration: RecordType, schema: JsonSchema): CompiledAnalytics {
  const { columns, order, ...rest } = declaration.placements.analytics ?? {};
  return { ...rest, columns: columns ?? deriveColumns(schema), order: order ?? [] };
}

/** One column for each top-level field: scalars as they are, everything else as JSON. */
function deriveColumns(schema: JsonSchema): Readonly<Record<string, Column>> {
  const columns: Record<string, Column> = {};
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const type = columnType(name, field);
    columns[name] = {
      type,
      from: type === "json" ? { path: name, take: "first" } : columnFrom(name, type),
    };
  }
  return columns;
}

function columnFrom(name: string, type: ColumnType): Column["from"] {
  return type === "text[]" ? { path: `${name}[]`, take: "all" } : name;
}

const INSTANT_NAME = /(?:_at|_time|timestamp|_date)$/;

function columnType(name: string, field: JsonSchema): ColumnType {
  const types = new Set(flatTypes(field));
  types.delete("null");
  if (types.size !== 1) return "json";
  const [only] = types;
  if (only === "string")
    return field.format === "date-time" || INSTANT_NAME.test(name) ? "timestamp" : "text";
  if (only === "boolean") return "boolean";
  if (only === "integer") return "integer";
  if (only === "number") return "real";
  if (only === "array" && flatTypes(field.items ?? {}).join() === "string") return "text[]";
  return "json";
}

function flatTypes(field: JsonSchema): readonly string[] {
  if (field.anyOf !== undefined) return field.anyOf.flatMap(flatTypes);
  if (field.type === undefined) return ["any"];
  return typeof field.type === "string" ? [field.type] : field.type;
}

/** Every field of a schema as dotted paths, sorted; free-form members are not listed. */
export function fieldPathsOf(schema: JsonSchema, prefix = ""): readonly string[] {
  const paths: string[] = [];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const path = `${prefix}${name}`;
    paths.push(path, ...fieldPathsOf(field, `${path}.`));
    if (field.items !== undefined) paths.push(...fieldPathsOf(field.items, `${path}[].`));
  }
  return paths.sort();
}

/** A short name for a mapping: equal fingerprints mean equal projections. */
export function fingerprint(mapping: unknown): string {
  return hash("sha256", canonicalJson(mapping), "hex").slice(0, 16);
}
