/** The candidate most like a mistyped word, or `undefined` when none is like it. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const asked = word.toLowerCase();
  let best: string | undefined;
  // More than two in five letters wrong is another word.
  let bestDistance = Math.max(1, Math.floor(word.length * 0.4)) + 1;
  for (const candidate of candidates) {
    const name = candidate.toLowerCase();
    // A name without its pack, or the beginning of a name, is near whatever its length.
    const isPart = asked.length >= 3 && (name.endsWith(`/${asked}`) || name.startsWith(asked));
    const distance = isPart ? 0.5 : editDistance(asked, name);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into another. */
function editDistance(left: string, right: string): number {
  const columns = right.length + 1;
  const rows: number[][] = [Array.from({ length: columns }, (_, index) => index)];
  for (let i = 1; i <= left.length; i += 1) {
    const row = [i];
    for (let j = 1; j < columns; j += 1) {
      const cost = left[i - 1] === right[j - 1] ? 0 : 1;
      const isSwap = left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
      const swapped = isSwap ? (rows[i - 2]?.[j - 2] ?? Infinity) + 1 : Infinity;
      const above = (rows[i - 1]?.[j] ?? 0) + 1;
      const diagonal = (rows[i - 1]?.[j - 1] ?? 0) + cost;
      row.push(Math.min(above, (row[j - 1] ?? 0) + 1, diagonal, swapped));
    }
    rows.push(row);
  }
  return rows[left.length]?.[right.length] ?? Infinity;
}
