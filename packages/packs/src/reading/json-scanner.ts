import { ImportError } from "@custody/contract/importer";
import type { JsonFragment } from "@custody/contract/importer";
import { parseJson } from "@custody/contract/json";

import { ChunkToken } from "./chunk-token.ts";
import type { Place } from "./chunk-token.ts";
import { BRACE_BIT, BYTE, isDelimiter, isHexDigit, isSimpleEscape, SCALAR } from "./json-bytes.ts";
import { memberNode, pointerToken, stepsIntoObject } from "./json-paths.ts";
import type { PathNode } from "./json-paths.ts";
import type { ReadingLimits } from "./reading-limits.ts";

/** Where the scanner is in the grammar of RFC 8259. */
type State =
  | "value"
  | "value-or-end"
  | "key"
  | "key-or-end"
  | "colon"
  | "after"
  | "string"
  | "scalar"
  | "captured-string"
  | "captured-container"
  | "done";

// A number is never longer in practice; the bound keeps a run of digits from being collected.
const SCALAR_BYTES_MAX = 64 * 1024;

interface Frame {
  readonly isObject: boolean;
  /** What is asked for below, if anything. */
  readonly node: PathNode | undefined;
  readonly pointer: string;
  /** Elements begun so far. */
  index: number;
  key: string;
}

/**
 * Walks one JSON document as it streams and gives out the asked values.
 *
 * Only asked values are collected and parsed; the rest is checked against the grammar byte by byte, so
 * that a malformed document is refused wherever its fault lies.
 */
export class JsonScanner {
  readonly #limits: ReadingLimits;
  readonly #root: PathNode;
  readonly #stack: Frame[] = [];
  #state: State = "value";
  #found: JsonFragment[] = [];
  readonly #token: ChunkToken;
  #isKey = false;
  #target: PathNode | undefined;
  #pointer = "";

  // Inside strings and captured containers.
  #escape = 0;
  #inString = false;
  #nesting = 0;

  constructor(root: PathNode, limits: ReadingLimits, from: Place = { line: 1, column: 1 }) {
    this.#root = root;
    this.#limits = limits;
    this.#token = new ChunkToken(from);
  }

  /** Takes the next bytes (valid UTF-8) and gives the asked values that end in them. */
  feed(chunk: Buffer): readonly JsonFragment[] {
    this.#token.chunk = chunk;
    this.#found = [];
    let at = 0;
    while (at < chunk.length) at = this.#step(at);
    this.#checkValueBytes(this.#token.leaveChunk());
    return this.#found;
  }

  /** Says that the document ends here; gives the value that only its end completes. */
  end(): readonly JsonFragment[] {
    this.#found = [];
    if (this.#state === "scalar") this.#endScalar(0);
    if (this.#state === "done") return this.#found;
    const isEmpty = this.#state === "value" && this.#stack.length === 0;
    if (this.#state === "captured-container") this.#refuseToken(this.#token.take(0));
    if (isEmpty) throw new ImportError("empty", "the source is empty: no JSON document in it");
    return this.#refuse(0, "the document ends too early");
  }

  #step(at: number): number {
    switch (this.#state) {
      case "string":
        return this.#string(at);
      case "captured-string":
        return this.#capturedString(at);
      case "captured-container":
        return this.#capturedContainer(at);
      case "scalar":
        return this.#scalar(at);
      default:
        return this.#structure(at);
    }
  }

  #structure(from: number): number {
    const chunk = this.#token.chunk;
    let at = from;
    let byte = chunk[at] ?? 0;
    while (
      byte === BYTE.space ||
      byte === BYTE.newline ||
      byte === BYTE.carriageReturn ||
      byte === BYTE.tab
    ) {
      at += 1;
      if (at === chunk.length) return at;
      byte = chunk[at] ?? 0;
    }
    switch (this.#state) {
      case "after":
        return this.#after(at, byte);
      case "colon":
        if (byte !== BYTE.colon) this.#refuse(at, "a colon is missing after a member's name");
        this.#state = "value";
        return at + 1;
      case "key-or-end":
        if (byte === BYTE.closeObject) return this.#close(at);
        return this.#beginKey(at, byte);
      case "key":
        return this.#beginKey(at, byte);
      case "value-or-end":
        if (byte === BYTE.closeArray) return this.#close(at);
        return this.#beginValue(at, byte);
      case "done":
        return this.#refuse(at, "something follows the document");
      default:
        return this.#beginValue(at, byte);
    }
  }

  #after(at: number, byte: number): number {
    const frame = this.#stack.at(-1);
    if (frame === undefined) return this.#refuse(at, "something follows the document");
    if (byte === BYTE.comma) {
      this.#state = frame.isObject ? "key" : "value";
      return at + 1;
    }
    if (byte === (frame.isObject ? BYTE.closeObject : BYTE.closeArray)) return this.#close(at);
    return this.#refuse(at, `a comma or ${frame.isObject ? "}" : "]"} is missing`);
  }

  #close(at: number): number {
    this.#stack.pop();
    this.#endValue();
    return at + 1;
  }

  #endValue(): void {
    this.#state = this.#stack.length === 0 ? "done" : "after";
  }

  #beginKey(at: number, byte: number): number {
    if (byte !== BYTE.quote) this.#refuse(at, "a member's name in quotes is missing");
    this.#isKey = true;
    this.#escape = 0;
    this.#state = "string";
    if (this.#stack.at(-1)?.node !== undefined) this.#token.begin(at);
    return at + 1;
  }

  #beginValue(at: number, byte: number): number {
    const frame = this.#stack.at(-1);
    const node = this.#nodeOfValue(frame);
    const isContainer = byte === BYTE.openArray || byte === BYTE.openObject;
    if (isContainer && this.#stack.length >= this.#limits.depthMax) this.#refuseDepth(at);
    if (node !== undefined) return this.#beginAsked(at, byte, node);
    return this.#beginSkipped(at, byte);
  }

  #nodeOfValue(frame: Frame | undefined): PathNode | undefined {
    if (frame === undefined) {
      this.#pointer = "";
      return this.#root;
    }
    if (frame.node === undefined) return undefined;
    if (frame.isObject) {
      const node = memberNode(frame.node, frame.key);
      if (node !== undefined) this.#pointer = frame.pointer + pointerToken(frame.key);
      return node;
    }
    this.#pointer = `${frame.pointer}/${frame.index}`;
    frame.index += 1;
    return frame.node.each;
  }

  #beginAsked(at: number, byte: number, node: PathNode): number {
    const isInto =
      byte === BYTE.openArray
        ? node.each !== undefined
        : byte === BYTE.openObject && stepsIntoObject(node);
    if (isInto) return this.#open(at, byte, node);
    if (node.path === undefined) return this.#beginSkipped(at, byte);
    this.#target = node;
    this.#token.begin(at);
    if (byte === BYTE.quote) {
      this.#escape = 0;
      this.#state = "captured-string";
      return at + 1;
    }
    if (byte === BYTE.openArray || byte === BYTE.openObject) {
      this.#nesting = 0;
      this.#inString = false;
      this.#escape = 0;
      this.#state = "captured-container";
      return at;
    }
    return this.#beginScalar(at, byte);
  }

  #beginSkipped(at: number, byte: number): number {
    this.#target = undefined;
    if (byte === BYTE.quote) {
      this.#isKey = false;
      this.#escape = 0;
      this.#state = "string";
      return at + 1;
    }
    if (byte === BYTE.openArray || byte === BYTE.openObject) return this.#open(at, byte, undefined);
    this.#token.begin(at);
    return this.#beginScalar(at, byte);
  }

  #beginScalar(at: number, byte: number): number {
    if (isDelimiter(byte)) this.#refuse(at, "a value is missing");
    this.#state = "scalar";
    return at;
  }

  #open(at: number, byte: number, node: PathNode | undefined): number {
    const isObject = byte === BYTE.openObject;
    this.#stack.push({ isObject, node, pointer: this.#pointer, index: 0, key: "" });
    this.#state = isObject ? "key-or-end" : "value-or-end";
    return at + 1;
  }

  /** A string that is skipped or is a key: every byte is checked. */
  #string(from: number): number {
    const chunk = this.#token.chunk;
    const { length } = chunk;
    for (let at = from; at < length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.#escape !== 0) this.#checkEscape(at, byte);
      else if (byte === BYTE.quote) return this.#endString(at + 1);
      else if (byte === BYTE.backslash) this.#escape = 1;
      else if (byte < BYTE.space) this.#refuse(at, "a control character in a string");
    }
    return length;
  }

  #checkEscape(at: number, byte: number): void {
    if (this.#escape > 1) {
      if (!isHexDigit(byte)) this.#refuse(at, "a \\u escape without four hexadecimal digits");
      this.#escape = this.#escape === 5 ? 0 : this.#escape + 1;
    } else if (byte === BYTE.letterU) this.#escape = 2;
    else if (isSimpleEscape(byte)) this.#escape = 0;
    else this.#refuse(at, "an unknown escape in a string");
  }

  #endString(end: number): number {
    if (!this.#isKey) {
      this.#endValue();
      return end;
    }
    this.#state = "colon";
    const frame = this.#stack.at(-1);
    if (frame?.node === undefined) return end;
    const text = this.#token.take(end).toString("utf8");
    frame.key = text.includes("\\") ? String(JSON.parse(text)) : text.slice(1, -1);
    return end;
  }

  #capturedString(from: number): number {
    const chunk = this.#token.chunk;
    const { length } = chunk;
    for (let at = from; at < length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.#escape !== 0) this.#escape = 0;
      else if (byte === BYTE.backslash) this.#escape = 1;
      else if (byte === BYTE.quote) return this.#emit(at + 1);
    }
    return length;
  }

  /** Finds where a captured container ends by its brackets alone; parsing it checks the rest. */
  #capturedContainer(from: number): number {
    const chunk = this.#token.chunk;
    const { length } = chunk;
    const nestingMax = this.#limits.depthMax - this.#stack.length;
    let nesting = this.#nesting;
    let isInString = this.#inString;
    let at = from;
    if (this.#escape !== 0) {
      this.#escape = 0;
      at += 1;
    }
    for (; at < length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (isInString) {
        if (byte === BYTE.quote) isInString = false;
        else if (byte === BYTE.backslash) at += 1;
      } else if (byte === BYTE.quote) isInString = true;
      else if ((byte | BRACE_BIT) === BYTE.openObject) {
        nesting += 1;
        if (nesting > nestingMax) this.#refuseDepth(at);
      } else if ((byte | BRACE_BIT) === BYTE.closeObject) {
        nesting -= 1;
        if (nesting === 0) return this.#emit(at + 1);
      }
    }
    // A backslash that ended the chunk escapes the first byte of the next one.
    this.#escape = at > length ? 1 : 0;
    this.#nesting = nesting;
    this.#inString = isInString;
    return length;
  }

  #scalar(from: number): number {
    const chunk = this.#token.chunk;
    let at = from;
    while (at < chunk.length && !isDelimiter(chunk[at] ?? 0)) at += 1;
    if (this.#token.bytesTo(at) > SCALAR_BYTES_MAX) {
      this.#refuse(at, `a number or word of more than ${SCALAR_BYTES_MAX} bytes`);
    }
    if (at < chunk.length) this.#endScalar(at);
    return at;
  }

  #endScalar(end: number): void {
    const target = this.#target;
    const text = this.#token.take(end).toString("utf8");
    if (!SCALAR.test(text)) {
      this.#refuseAt(this.#token.takenPlace(), `not a JSON value: ${text.slice(0, 40)}`);
    }
    if (target?.path !== undefined) this.#give(target.path, parseJson(text));
    this.#endValue();
  }

  #emit(end: number): number {
    const path = this.#target?.path ?? "";
    const token = this.#token.take(end);
    this.#checkValueBytes(token.length);
    let value: unknown;
    try {
      value = parseJson(token.toString("utf8"));
    } catch {
      this.#refuseToken(token);
    }
    this.#give(path, value);
    this.#endValue();
    return end;
  }

  #give(path: string, value: unknown): void {
    this.#found.push({ path, pointer: this.#pointer, value });
  }

  /** Walks a captured value that did not parse, to find the very place. */
  #refuseToken(token: Buffer): never {
    const place = this.#token.takenPlace();
    const scanner = new JsonScanner({ members: new Map() }, this.#limits, place);
    scanner.feed(token);
    scanner.end();
    return this.#refuseAt(place, "not JSON");
  }

  #checkValueBytes(bytes: number): void {
    if (bytes <= this.#limits.valueBytesMax) return;
    throw new ImportError(
      "limit",
      `the JSON value is larger than ${this.#limits.valueBytesMax} bytes`,
      { at: this.#pointer },
    );
  }

  #refuseDepth(at: number): never {
    const { line, column } = this.#token.placeOf(at);
    throw new ImportError("limit", `JSON nests deeper than ${this.#limits.depthMax} levels`, {
      at: `line ${line}, column ${column}`,
    });
  }

  #refuse(at: number, reason: string): never {
    return this.#refuseAt(this.#token.placeOf(at), reason);
  }

  #refuseAt({ line, column }: Place, reason: string): never {
    throw new ImportError("malformed", `not JSON: ${reason} at line ${line}, column ${column}`, {
      at: `line ${line}, column ${column}`,
    });
  }
}
