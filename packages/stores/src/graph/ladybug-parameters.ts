import type { LbugValue } from "@ladybugdb/core";

import type { Cell } from "../analytics/port.ts";
import type { LadybugParameters } from "../drivers/ladybug.ts";
import { StoreError } from "../errors.ts";

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;

/** A user's parameters as the driver takes them. @throws StoreError `refused` for a name that is no identifier. */
export function parameterValues(parameters: Readonly<Record<string, Cell>>): LadybugParameters {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, cell]) => {
      if (!NAME.test(name)) throw new StoreError("refused", "a parameter's name is no identifier");
      return [name, parameterValue(cell)];
    }),
  );
}

function parameterValue(cell: Cell): LbugValue {
  if (cell === null || typeof cell !== "object") return cell;
  if (isList(cell)) return cell.map(parameterValue);
  return Object.fromEntries(
    Object.entries(cell).map(([name, member]) => [name, parameterValue(member)]),
  );
}

function isList(cell: Cell): cell is readonly Cell[] {
  return Array.isArray(cell);
}
