/** A bug that is kept as a patch, and within how many seeds it must be found. */
export interface PlantedBug {
  /** The patch's file name without its ending. */
  readonly name: string;
  readonly seedsMax: number;
  /** What it may be found by; a seed that breaks another does not count. */
  readonly invariants: readonly string[];
  /** What it does wrong. */
  readonly what: string;
}

/** Reads the table of planted bugs: name, seeds, invariants and description, with tabs between. */
export function parseTable(text: string): readonly PlantedBug[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [name = "", seeds = "", invariants = "", what = ""] = line.split("\t");
      return { name, seedsMax: Number(seeds), invariants: invariants.split(" "), what };
    });
}
