import type { ColumnType, GraphPlacement } from "@custody/contract/placement";

import { StoreError } from "../errors.ts";

/** The kinds of nodes and edges that a collection's placements declare together. */
export interface GraphModel {
  /** Properties by name, for each label. */
  readonly labels: ReadonlyMap<string, ReadonlyMap<string, ColumnType>>;
  /** Pairs of labels that each edge type joins. */
  readonly types: ReadonlyMap<string, readonly LabelPair[]>;
}

export interface LabelPair {
  readonly from: string;
  readonly to: string;
}

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

/**
 * Reads the model out of the placements, whose names become identifiers of an engine.
 *
 * Labels and edge types are one set of names, and names that differ only in case are one name, as the
 * narrowest engine has it.
 *
 * @throws StoreError `refused` for a name that is not 1 to 63 of `A-Z a-z 0-9 _` beginning with a
 *   letter, a property named `id`, or a property declared twice with different types.
 */
export function graphModel(placements: Readonly<Record<string, GraphPlacement>>): GraphModel {
  const labels = new Map<string, Map<string, ColumnType>>();
  const types = new Map<string, LabelPair[]>();
  const label = (name: string): Map<string, ColumnType> =>
    getOrPut(labels, name, () => new Map<string, ColumnType>());
  for (const placement of Object.values(placements)) {
    for (const node of placement.nodes) {
      const properties = label(node.label);
      for (const [name, { type }] of Object.entries(node.properties ?? {})) {
        checkProperty(node.label, name, type, properties.get(name));
        properties.set(name, type);
      }
      checkNames(`properties of ${node.label}`, ["id", ...properties.keys()]);
    }
    for (const { type, from, to } of placement.edges ?? []) {
      label(from.label);
      label(to.label);
      const pairs = getOrPut(types, type, () => []);
      if (!pairs.some((pair) => pair.from === from.label && pair.to === to.label)) {
        pairs.push({ from: from.label, to: to.label });
      }
    }
  }
  checkNames("labels and edge types", [...labels.keys(), ...types.keys()]);
  return { labels, types };
}

function checkProperty(
  label: string,
  name: string,
  type: ColumnType,
  before: ColumnType | undefined,
): void {
  if (before === undefined || before === type) return;
  throw new StoreError("refused", `property ${name} of ${label} is both ${before} and ${type}`);
}

function checkNames(what: string, names: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    if (!NAME.test(name)) {
      throw new StoreError(
        "refused",
        `${what}: ${JSON.stringify(name.slice(0, 80))} is no name; use 1 to 63 of A-Z a-z 0-9 _, a letter first`,
      );
    }
    const twin = seen.get(name.toLowerCase());
    if (twin !== undefined) {
      throw new StoreError("refused", `${what}: ${twin} and ${name} would be one name`);
    }
    seen.set(name.toLowerCase(), name);
  }
}

function getOrPut<Value>(map: Map<string, Value>, name: string, make: () => Value): Value {
  let value = map.get(name);
  if (value === undefined) map.set(name, (value = make()));
  return value;
}
