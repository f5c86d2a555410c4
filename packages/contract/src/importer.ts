import type { RecordType } from "./record-type.ts";
import type { SummaryDeclaration } from "./summary.ts";

/**
 * Importers: how the output of a tool becomes records.
 *
 * An importer is a pure reader. It says whether a file is of its format, and turns the file into
 * rows in order, each with its place; staging, sealing and committing are core's.
 */
export interface Importer {
  /** Short and stable: `garak`, `trivy`, `cyclonedx`. */
  readonly name: string;
  /** Version of the mapping; a higher one may import the same file again. */
  readonly version: number;
  /** One sentence for people. */
  readonly title: string;
  /** Types of the rows it can give, `pack/name`. */
  readonly types: readonly string[];

  /**
   * How sure the importer is that it can read the source, from 0 (not at all) to 1, from its beginning
   * alone; a file name is only a hint.
   */
  detect(head: SourceHead): number;

  /**
   * Reads the whole source.
   *
   * @throws ImportError with the place, when the source is not what it should be.
   */
  read(source: Source, context: ImportContext): AsyncIterable<ImportRow>;
}

/** The beginning of a source, decompressed and decoded. */
export interface SourceHead {
  /** Last part of the file's name, without compression endings. */
  readonly name: string;
  /** At most 64 Ki characters. */
  readonly text: string;
  /** True when `text` is the whole source. */
  readonly isWhole: boolean;
}

/** A source to read once, decompressed, decoded to Unicode, byte order mark removed, bounded. */
export interface Source {
  readonly name: string;
  /** The beginning that `detect` saw, for formats that come in more than one shape. */
  readonly head: SourceHead;
  /** The text in chunks of no particular cut. */
  text(): AsyncIterable<string>;
  /** Lines without their ends, numbered from 1; a line is limited in length. */
  lines(): AsyncIterable<SourceLine>;
  /**
   * The JSON values at a path of the document, in order, without holding the document in memory: `[]`
   * steps through an array, `*` through an object's members. `Results[]` gives each result; the empty
   * path gives the whole document. Several paths may be asked for in one reading: `*` then stands for
   * the members that no other path names, and a value that a longer path can step into is stepped into,
   * not given out.
   */
  json(paths: readonly string[]): AsyncIterable<JsonFragment>;
}

export interface SourceLine {
  readonly number: number;
  readonly text: string;
}

export interface JsonFragment {
  /** The asked path it answers. */
  readonly path: string;
  /** RFC 6901 pointer to it. */
  readonly pointer: string;
  readonly value: unknown;
}

export interface ImportContext {
  /** True to go on after a bad row: it is given as a rejected row. */
  readonly isLenient: boolean;
  /** What the user told about the source: target, session, and the like. */
  readonly labels: Readonly<Record<string, string>>;
  /** SHA-256 of the original file, lower-case hex. */
  readonly sha256: string;
  /** Epoch milliseconds of the import, for sources that carry no time. */
  readonly importedAt: number;
}

/** One row of a source: a record, or what could not become one. */
export type ImportRow =
  | {
      readonly kind: "record";
      readonly type: string;
      readonly fields: Readonly<Record<string, unknown>>;
      /** `line 12` or an RFC 6901 pointer. */
      readonly at: string;
    }
  | {
      readonly kind: "rejected";
      readonly at: string;
      readonly reason: string;
      readonly text: string;
    }
  | { readonly kind: "tool"; readonly name: string; readonly version?: string };

export type ImportErrorCode = "malformed" | "empty" | "unknown-format" | "limit" | "encoding";

/** Thrown when a source cannot be imported; says where, and what to do. */
export class ImportError extends Error {
  override readonly name = "ImportError";
  readonly code: ImportErrorCode;
  readonly retryable = false;
  /** `line 12`, `line 3, column 9`, or an RFC 6901 pointer. */
  readonly at: string | undefined;

  constructor(
    code: ImportErrorCode,
    message: string,
    options?: ErrorOptions & { readonly at?: string },
  ) {
    super(message, options);
    this.code = code;
    this.at = options?.at;
  }
}

/** What belongs together in a domain. */
export interface Pack {
  readonly name: string;
  readonly types: readonly RecordType[];
  readonly importers: readonly Importer[];
  readonly summaries: readonly SummaryDeclaration[];
}
