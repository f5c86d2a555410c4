import type { Cell } from "./port.ts";

/** A whole number as `number` where that is exact, else as `bigint`. */
export function plainNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** About how many bytes a cell takes on its way to the caller. */
export function cellBytes(cell: Cell): number {
  if (typeof cell === "string") return cell.length + 8;
  if (isCells(cell)) return cell.reduce<number>((sum, part) => sum + cellBytes(part), 8);
  if (cell !== null && typeof cell === "object") {
    return Object.entries(cell).reduce(
      (sum, [name, part]) => sum + name.length + cellBytes(part),
      8,
    );
  }
  return 8;
}

function isCells(cell: Cell): cell is readonly Cell[] {
  return Array.isArray(cell);
}
