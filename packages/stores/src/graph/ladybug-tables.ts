import type { ColumnType } from "@custody/contract/placement";

import type { GraphModel } from "./graph-model.ts";

/**
 * An empty node table whose comment is the checkpoint: it changes inside the transaction that writes the
 * delivery, and no pattern ever matches it, so answers need not be cleaned of bookkeeping.
 */
const BOOKKEEPING = "_custody";

/** Reads the checkpoint: a comment of digits. */
export const READ_CHECKPOINT: string = `CALL show_tables() WHERE name = '${BOOKKEEPING}' RETURN comment`;

/** Writes the checkpoint. A comment takes no parameter; a number needs no quoting. */
export function writeCheckpoint(checkpoint: number): string {
  return `COMMENT ON TABLE ${BOOKKEEPING} IS '${Math.trunc(checkpoint)}'`;
}

/** Quotes an identifier; names from placements hold no backtick (see `graphModel`). */
export function quote(name: string): string {
  return `\`${name}\``;
}

// INT128, as the driver gives 64-bit whole numbers as doubles and these as `bigint`.
const COLUMN_TYPES: Readonly<Record<ColumnType, string>> = {
  text: "STRING",
  integer: "INT128",
  real: "DOUBLE",
  boolean: "BOOLEAN",
  timestamp: "TIMESTAMP",
  json: "STRING",
  "text[]": "STRING[]",
  vector: "DOUBLE[]",
};

/**
 * Statements that make what the model needs and does not yet exist. Tables only grow: what a placement
 * no longer names goes with its generation.
 *
 * `_records` counts records, `_sequence` is the highest sequence that set a property, `_said` keeps
 * earlier sayings (JSON) where a property was set more than once.
 */
export function tableStatements({ labels, types }: GraphModel): readonly string[] {
  const statements = [`CREATE NODE TABLE IF NOT EXISTS ${BOOKKEEPING}(id STRING PRIMARY KEY)`];
  for (const [label, properties] of labels) {
    const table = quote(label);
    statements.push(
      `CREATE NODE TABLE IF NOT EXISTS ${table}(id STRING PRIMARY KEY, _records INT64, _sequence INT64, _said STRING)`,
    );
    for (const [name, type] of properties) {
      statements.push(
        `ALTER TABLE ${table} ADD IF NOT EXISTS ${quote(name)} ${COLUMN_TYPES[type]}`,
      );
    }
  }
  for (const [type, pairs] of types) {
    const joins = pairs.map(({ from, to }) => `FROM ${quote(from)} TO ${quote(to)}`);
    statements.push(
      `CREATE REL TABLE IF NOT EXISTS ${quote(type)}(${joins.join(", ")}, _records INT64)`,
      ...joins.map((join) => `ALTER TABLE ${quote(type)} ADD IF NOT EXISTS ${join}`),
    );
  }
  return statements;
}
