const STEPS = "▁▂▃▄▅▆▇█";
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A row of bars for numbers over time; gaps are `·`. Longer rows are averaged down to `width`. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const shown = condense(values, width);
  const numbers = shown.filter((value) => value !== null);
  if (numbers.length === 0) return "·".repeat(shown.length);
  const low = numbers.reduce((a, b) => Math.min(a, b));
  const span = numbers.reduce((a, b) => Math.max(a, b)) - low;
  return shown
    .map((value) => {
      if (value === null) return "·";
      const step = span === 0 ? 3 : Math.round(((value - low) / span) * (STEPS.length - 1));
      return STEPS[step] ?? "·";
    })
    .join("");
}

function condense(values: readonly (number | null)[], width: number): readonly (number | null)[] {
  if (values.length <= width) return values;
  return Array.from({ length: width }, (_, index) => {
    const from = Math.floor((index * values.length) / width);
    const to = Math.floor(((index + 1) * values.length) / width);
    const part = values.slice(from, to).filter((value) => value !== null);
    return part.length === 0 ? null : part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

/** A bar of up to `width` columns for one number out of the largest. */
export function bar(value: number, largest: number, width: number): string {
  if (!(value > 0) || !(largest > 0)) return "";
  const eighths = Math.max(1, Math.round((Math.min(value, largest) / largest) * width * 8));
  return `${"█".repeat(Math.trunc(eighths / 8))}${EIGHTHS[eighths % 8] ?? ""}`;
}
