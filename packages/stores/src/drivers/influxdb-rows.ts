/** What the columns of rows are called. */
export class FluxColumns {
  readonly labels: readonly string[];
  readonly #indexes: ReadonlyMap<string, number>;

  constructor(labels: readonly string[]) {
    this.labels = labels;
    this.#indexes = new Map(labels.map((label, index) => [label, index]));
  }

  /** Where a column is; -1 where there is none of that name. */
  index(label: string): number {
    return this.#indexes.get(label) ?? -1;
  }
}

/** A row of an answer. */
export interface FluxRow {
  readonly columns: FluxColumns;
  readonly values: readonly string[];
}

/** A row's value by its column; empty where there is none. */
export function cell({ columns, values }: FluxRow, label: string): string {
  return values[columns.index(label)] ?? "";
}

/**
 * Reads annotated CSV (docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv), all rows of a
 * piece at once: the client's own reader gives each row a turn of its own, which takes longer than the
 * row. What Custody stores holds neither quotes nor line breaks, so that a line is a row.
 */
export class FluxCsv {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #columns: FluxColumns | undefined;
  #isHeader = true;

  /** Takes a piece of the answer; gives the rows that it ends. */
  read(chunk: Uint8Array): readonly FluxRow[] {
    const text = this.#rest + this.#decoder.decode(chunk, { stream: true });
    const end = text.lastIndexOf("\n");
    this.#rest = text.slice(end + 1);
    return end < 0 ? [] : this.#rows(text.slice(0, end));
  }

  /** The rows that no line break ends. */
  end(): readonly FluxRow[] {
    const rest = this.#rest + this.#decoder.decode();
    this.#rest = "";
    return this.#rows(rest);
  }

  #rows(text: string): readonly FluxRow[] {
    const rows: FluxRow[] = [];
    for (const ended of text.split("\n")) {
      const line = ended.endsWith("\r") ? ended.slice(0, -1) : ended;
      if (line === "") this.#isHeader = true;
      else if (line.startsWith("#")) this.#isHeader = true;
      else if (this.#isHeader || this.#columns === undefined) {
        this.#columns = new FluxColumns(splitLine(line));
        this.#isHeader = false;
      } else rows.push({ columns: this.#columns, values: splitLine(line) });
    }
    return rows;
  }
}

function splitLine(line: string): readonly string[] {
  if (!line.includes('"')) return line.split(",");
  const values: string[] = [];
  let at = 0;
  while (at <= line.length) {
    const isQuoted = line[at] === '"';
    const end = isQuoted ? closingQuote(line, at + 1) + 1 : line.indexOf(",", at);
    const stop = end < 0 ? line.length : end;
    const value = isQuoted
      ? line.slice(at + 1, stop - 1).replaceAll('""', '"')
      : line.slice(at, stop);
    values.push(value);
    at = stop + 1;
  }
  return values;
}

function closingQuote(line: string, from: number): number {
  let at = line.indexOf('"', from);
  while (at >= 0 && line[at + 1] === '"') at = line.indexOf('"', at + 2);
  return at < 0 ? line.length : at;
}
