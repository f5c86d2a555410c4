import { StoreError } from "../errors.ts";
import type { SeriesPoint } from "./content.ts";
import {
  encodedName,
  encodedTag,
  encodedText,
  FAR,
  lineMeasurement,
  lineText,
  MARK,
  plainText,
  TEXTS,
} from "./influxdb-text.ts";
import type { SeriesLayout } from "./measurement-layout.ts";

/** The first and last whole millisecond of the server's clock, which counts nanoseconds in 64 bits. */
export const INSTANT_MIN = -9_223_372_036_853;
export const INSTANT_MAX = 9_223_372_036_853;

/** What the mark of a point says of its record. */
export interface PointMark {
  readonly sequence: number;
  /** The point's place among those of its record. */
  readonly ordinal: number;
  /** How many points the record has. */
  readonly count: number;
  readonly id: string;
}

/** A point that has no place in its millisecond yet. */
export interface LinePoint {
  readonly mark: PointMark;
  /** Measurement and tags in the line protocol: one series. */
  readonly series: string;
  /** Fields in the line protocol. */
  readonly fields: string;
  /** The millisecond that it is kept in. */
  readonly at: number;
  readonly longTexts: readonly string[];
}

/** Writes points of records in the line protocol. */
export function compileLinePoints(
  layout: SeriesLayout,
): (id: string, sequence: number, points: readonly SeriesPoint[]) => readonly LinePoint[] {
  const tagNames = new Map(
    layout.measurements.map(({ name, tags }) => [name, tags.map(tagName).sort(byEncoded)]),
  );
  const fieldNames = new Map(
    layout.measurements.flatMap(({ fields }) =>
      fields.map((name) => [name, lineText(encodedName(name))] as const),
    ),
  );
  return (id, sequence, points) =>
    points.map((point, ordinal) => {
      const { measurement, at, tags, fields } = point;
      const isFar = at < INSTANT_MIN || at > INSTANT_MAX;
      const mark = { sequence, ordinal, count: points.length, id };
      const longTexts: string[] = [];
      let series = isFar
        ? `${FAR},${FAR_MEASUREMENT}=${lineText(encodedName(measurement))}`
        : lineMeasurement(encodedName(measurement));
      for (const tag of tagNames.get(measurement) ?? []) {
        const { line, longText } = tagLine(tag, tags.get(tag.name));
        if (longText !== undefined) longTexts.push(longText);
        series += line;
      }
      let text = `${MARK}="${markText(mark)}"`;
      for (const [name, value] of fields) text += `,${fieldNames.get(name) ?? ""}=${value}`;
      if (isFar) text += `,${FAR_AT}=${at}`;
      return { mark, series, fields: text, at: isFar ? 0 : at, longTexts };
    });
}

/** The tag that names the measurement of a far point, and the field that holds its instant. */
export const FAR_MEASUREMENT = "custody_measurement";
export const FAR_AT = "custody_at";

interface TagName {
  readonly name: string;
  /** As the line protocol has it. */
  readonly line: string;
  readonly encoded: string;
  /** What was written for values, as tags have few. */
  readonly lines: Map<string | undefined, string>;
}

const LINES_KEPT_MAX = 1_000;

function tagLine(
  { line, lines }: TagName,
  text: string | undefined,
): { readonly line: string; readonly longText?: string } {
  const known = lines.get(text);
  if (known !== undefined) return { line: known };
  const { value, longText } = encodedTag(text);
  const made = `,${line}=${lineText(value)}`;
  if (longText !== undefined) return { line: made, longText };
  if (lines.size < LINES_KEPT_MAX) lines.set(text, made);
  return { line: made };
}

function tagName(name: string): TagName {
  const encoded = encodedName(name);
  return { name, encoded, line: lineText(encoded), lines: new Map() };
}

function byEncoded(left: TagName, right: TagName): number {
  return left.encoded < right.encoded ? -1 : 1;
}

/** The mark as it is stored. */
function markText({ sequence, ordinal, count, id }: PointMark): string {
  return `${sequence} ${ordinal} ${count} ${encodedText(id)}`;
}

/** Reads a stored mark. @throws StoreError `corrupt`. */
export function readMark(text: string): PointMark {
  const [, sequence, ordinal, count, id] = /^(\d+) (\d+) (\d+) (.+)$/s.exec(text) ?? [];
  if (id === undefined) {
    throw new StoreError("corrupt", "InfluxDB holds a point whose mark is none");
  }
  return {
    sequence: Number(sequence),
    ordinal: Number(ordinal),
    count: Number(count),
    id: plainText(id),
  };
}

const SLOTS = 1_000_000;

/**
 * SlotBook: which nanoseconds of a series are taken, so that points of one millisecond lie apart.
 *
 * A point is put into the nanosecond that its record's id hashes to, or the next free one: the same
 * point finds the same place again.
 */
export class SlotBook {
  readonly #owners = new Map<string, string>();

  /** Notes a point that is stored. */
  note(series: string, nanoseconds: bigint, mark: PointMark): void {
    this.#owners.set(`${series} ${nanoseconds}`, ownerOf(mark));
  }

  /** @throws StoreError `limit` when the series has a million points in this millisecond. */
  place({ series, at, mark }: LinePoint): {
    readonly nanoseconds: string;
    readonly isMoved: boolean;
  } {
    const owner = ownerOf(mark);
    const first = slotOf(mark);
    for (let tried = 0; tried < SLOTS; tried += 1) {
      const nanoseconds = nanosecondText(at, (first + tried) % SLOTS);
      const key = `${series} ${nanoseconds}`;
      const found = this.#owners.get(key);
      if (found !== undefined && found !== owner) continue;
      this.#owners.set(key, owner);
      return { nanoseconds, isMoved: tried > 0 };
    }
    throw new StoreError("limit", `a series has at most ${SLOTS} points in one millisecond`);
  }
}

function ownerOf({ id, ordinal }: PointMark): string {
  return `${ordinal} ${id}`;
}

/** FNV-1a: cheap, and spread well enough for what probing mends. */
function slotOf({ id, ordinal }: PointMark): number {
  let sum = 0x81_1c_9d_c5 ^ ordinal;
  for (let at = 0; at < id.length; at += 1) {
    sum = Math.imul(sum ^ id.charCodeAt(at), 0x01_00_01_93);
  }
  return (sum >>> 0) % SLOTS;
}

function nanosecondText(at: number, slot: number): string {
  if (at > 0) return `${at}${String(slot).padStart(6, "0")}`;
  return String(BigInt(at) * 1_000_000n + BigInt(slot));
}

// A string field holds 64 KB (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol).
const PART = 16_000;

/** The line that keeps a text which is too long for a tag, under its tag. */
export function textLine(tag: string, text: string): string {
  const encoded = encodedText(text);
  const parts: string[] = [];
  for (let at = 0; at < encoded.length; at += PART) {
    parts.push(`part${parts.length}="${encoded.slice(at, at + PART)}"`);
  }
  return `${TEXTS},text=${tag} ${parts.join(",")} 0`;
}
