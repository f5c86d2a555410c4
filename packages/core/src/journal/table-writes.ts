import { coerceColumn, compileValue } from "@custody/contract/value-expression";
import type { ColumnValue } from "@custody/contract/value-expression";
import type { TableWrite } from "@custody/stores/relational/journal";

import type { CompiledType } from "../records/compiled-type.ts";
import type { HashedRecord } from "./sort-records.ts";

/** The rows that transactional types write into their tables within the commit. */
export function tableWrites(
  parts: readonly {
    readonly type: CompiledType;
    readonly records: readonly Pick<HashedRecord, "id" | "fields">[];
    readonly deletes: readonly string[];
  }[],
): readonly TableWrite[] | undefined {
  const writes = parts.flatMap(({ type, records, deletes }) => {
    const { mode, placements } = type.declaration;
    if (mode !== "transactional" || placements.relational === undefined) return [];
    const { columns, unique = [] } = placements.relational;
    const named = Object.entries(columns).map(([name, column]) => ({ name, type: column.type }));
    const readers = Object.values(columns).map(({ type: columnType, from }) => {
      const take = compileValue(from);
      return (fields: unknown) => storedValue(coerceColumn(columnType, take(fields)));
    });
    const puts = records.map(({ id, fields }) => ({
      id,
      sequence: 0,
      values: readers.map((read) => read(fields)),
    }));
    const removals = deletes.map((id) => ({ id, sequence: 0 }));
    return [
      { table: type.name.replace("/", "__"), columns: named, unique, rows: [...puts, ...removals] },
    ];
  });
  return writes.length === 0 ? undefined : writes;
}

function storedValue(value: ColumnValue): null | string | number | bigint {
  if (typeof value === "boolean") return value ? 1 : 0;
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}
