/** Distances of one text's beginning from each beginning of another: a row of Levenshtein's table. */
export type DistanceRow = readonly number[];

/** The row of the empty text. */
export function firstRow(wanted: readonly string[]): DistanceRow {
  return wanted.map((_, index) => index).concat(wanted.length);
}

/** The row of a text that is one letter longer. */
export function nextRow(row: DistanceRow, wanted: readonly string[], letter: string): DistanceRow {
  const next = [(row[0] ?? 0) + 1];
  for (const [index, expected] of wanted.entries()) {
    const replaced = (row[index] ?? 0) + (expected === letter ? 0 : 1);
    const added = (row[index + 1] ?? 0) + 1;
    const left = (next[index] ?? 0) + 1;
    next.push(Math.min(replaced, added, left));
  }
  return next;
}

/** Whether one word becomes another with so many insertions, deletions and replacements of letters. */
export function isWithinDistance(word: string, other: string, distance: number): boolean {
  const wanted = Array.from(word);
  const letters = Array.from(other);
  if (Math.abs(wanted.length - letters.length) > distance) return false;
  let row = firstRow(wanted);
  for (const letter of letters) {
    row = nextRow(row, wanted, letter);
    if (Math.min(...row) > distance) return false;
  }
  return (row[wanted.length] ?? distance + 1) <= distance;
}
