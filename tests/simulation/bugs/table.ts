/** A bug that is kept as a patch, and within how many seeds it must be found. */
export interface PlantedBug {
  /** The patch's file name without its ending. */
  readonly name: string;
  readonly seedsMax: number;
  /** The first seed that found it when that was last tried. */
  readonly knownSeed: number;
  /** What it may be found by; a seed that breaks another does not count. */
  readonly invariants: readonly string[];
  /** What it does wrong. */
  readonly what: string;
}

/** Reads the table of planted bugs: name, seeds, known seed, invariants and description, with tabs between. */
export function parseTable(text: string): readonly PlantedBug[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [name = "", seeds = "", known = "", invariants = "", what = ""] = line.split("\t");
      return {
        name,
        seedsMax: Number(seeds),
        knownSeed: Number(known),
        invariants: invariants.split(" "),
        what,
      };
    });
}

/** The table's text with another known seed of one bug. */
export function withSeed(text: string, name: string, seed: number): string {
  return text
    .split("\n")
    .map((line) => {
      const cells = line.split("\t");
      return cells[0] === name ? cells.with(2, String(seed)).join("\t") : line;
    })
    .join("\n");
}
