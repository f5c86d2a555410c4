import { hash } from "node:crypto";

import { parseJson, stringifyJson } from "@custody/contract/json";
import type { SegmentRow } from "@custody/stores/relational/journal";

import { CoreError } from "../errors.ts";
import { HASH_HEX, Members } from "../journal/format/canonical-object.ts";
import type { BackedUpBlob } from "./backup-contents.ts";
import { parseObjectRef } from "./backup-manifest.ts";
import type { ObjectRef } from "./backup-manifest.ts";
import type { BackupObjects } from "./backup-objects.ts";

// A page ends after a row whose name's hash says so, one in 512 on average: a row that comes or goes
// changes its own page and leaves those behind it as they were, so that backups share them.
const PAGE_ENDS_EVERY = 512;
/** Rows of a page at most. */
const PAGE_ROWS_MAX = 4_096;
/** Bytes at which a page is closed. */
const PAGE_BYTES = 4 * 1024 * 1024;

/** A kind of row: how it is named, written and read. */
export interface RowForm<Row> {
  readonly nameOf: (row: Row) => string;
  readonly encode: (row: Row) => unknown;
  readonly decode: (value: unknown) => Row;
}

/** Puts bytes that are held whole; answers what names them. */
export type PutObject = (bytes: Uint8Array) => Promise<ObjectRef>;

/** Writes rows into pages, one object each; holds one page. */
export class PageWriter<Row> {
  readonly #form: RowForm<Row>;
  readonly #put: PutObject;
  readonly #pages: ObjectRef[] = [];
  #texts: string[] = [];
  #bytes = 0;

  constructor(form: RowForm<Row>, put: PutObject) {
    this.#form = form;
    this.#put = put;
  }

  async add(row: Row): Promise<void> {
    const text = `${stringifyJson(this.#form.encode(row))}\n`;
    this.#texts.push(text);
    this.#bytes += text.length;
    const isFull = this.#texts.length >= PAGE_ROWS_MAX || this.#bytes >= PAGE_BYTES;
    if (isFull || endsPage(this.#form.nameOf(row))) await this.#flush();
  }

  async finish(): Promise<readonly ObjectRef[]> {
    if (this.#texts.length > 0) await this.#flush();
    return this.#pages;
  }

  async #flush(): Promise<void> {
    this.#pages.push(await this.#put(Buffer.from(this.#texts.join(""))));
    this.#texts = [];
    this.#bytes = 0;
  }
}

function endsPage(name: string): boolean {
  return hash("sha256", name, "buffer").readUInt32LE(0) % PAGE_ENDS_EVERY === 0;
}

/** The rows of pages, in order; holds one page. */
export async function* readPages<Row>(
  objects: BackupObjects,
  pages: readonly ObjectRef[],
  form: RowForm<Row>,
): AsyncGenerator<Row> {
  for (const page of pages) {
    const text = Buffer.from(await objects.read(page)).toString("utf8");
    for (const line of text.split("\n")) if (line !== "") yield decodeRow(line, page, form);
  }
}

function decodeRow<Row>(line: string, { object }: ObjectRef, { decode }: RowForm<Row>): Row {
  try {
    return decode(parseJson(line));
  } catch (cause) {
    const at = `backup object ${object}`;
    throw new CoreError("damaged", `${at}: a row of it cannot be read`, { cause, at });
  }
}

/** A segment of the catalogue and the object that holds its file. */
export interface SegmentPageRow {
  readonly row: SegmentRow;
  readonly content: ObjectRef;
}

/** Rows of the segment catalogue, by segment id. */
export const SEGMENT_ROWS: RowForm<SegmentPageRow> = {
  nameOf: ({ row }) => row.segmentId,
  encode: ({ row, content }) => ({
    ...row,
    hash: Buffer.from(row.hash).toString("hex"),
    content,
  }),
  decode: (value) => {
    const members = new Members(value, "a segment");
    const period = members.get("period");
    if (typeof period !== "string") throw new CoreError("damaged", "a segment without a period");
    return {
      row: {
        segmentId: members.text("segmentId"),
        blobKey: members.text("blobKey"),
        bytes: members.whole("bytes", 0),
        lines: members.whole("lines", 0),
        hash: new Uint8Array(Buffer.from(members.text("hash", HASH_HEX), "hex")),
        period,
      },
      content: parseObjectRef(members.get("content")),
    };
  },
};

/** Rows of blobs that are no segments, by key. */
export const BLOB_ROWS: RowForm<BackedUpBlob> = {
  nameOf: ({ key }) => key,
  encode: (blob) => blob,
  decode: (value) => {
    const members = new Members(value, "a blob");
    return {
      key: members.text("key"),
      bytes: members.whole("bytes", 0),
      modifiedAt: members.whole("modifiedAt", 0),
      content: parseObjectRef(members.get("content")),
    };
  },
};

/** Named values of the journal's store, by name. */
export const STATE_ROWS: RowForm<{ readonly name: string; readonly value: string }> = {
  nameOf: ({ name }) => name,
  encode: ({ name, value }) => [name, value],
  decode: (value) => {
    if (Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "string")
      return { name: value[0], value: value[1] };
    throw new CoreError("damaged", "a named value is no pair");
  },
};
