import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Half a probe's attempts of garak 0.17 (256 prompts, ten generations of 6 KB) fit in memory.
const MEMORY_BYTES_MAX = 32 * 1024 * 1024;
const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** A row that waits for its later state. */
export interface HeldRow {
  readonly line: number;
  readonly text: string;
}

type Held =
  | HeldRow
  | {
      readonly line: number;
      readonly offset: number;
      readonly bytes: number;
      readonly nonce: number;
    };

/**
 * Rows of attempts that are not judged yet. The few that never are must not be lost, and the many
 * that are must not fill the memory: beyond a bound they wait in a temporary file, sealed with a key
 * that only this process knows.
 */
export class HeldAttempts implements Disposable {
  readonly #rows = new Map<string, Held>();
  readonly #memoryBytesMax: number;
  #memoryBytes = 0;
  #spill: Spill | undefined;

  constructor(memoryBytesMax: number = MEMORY_BYTES_MAX) {
    this.#memoryBytesMax = memoryBytesMax;
  }

  /** Keeps a row under its attempt's key; an earlier row of the key is replaced. */
  hold(key: string, row: HeldRow): void {
    this.release(key);
    if (this.#memoryBytes + row.text.length > this.#memoryBytesMax) {
      this.#spill ??= new Spill();
      this.#rows.set(key, { line: row.line, ...this.#spill.write(row.text) });
      return;
    }
    this.#memoryBytes += row.text.length;
    this.#rows.set(key, row);
  }

  /** Lets a row go; false when none is held under the key. */
  release(key: string): boolean {
    const held = this.#rows.get(key);
    if (held === undefined) return false;
    if ("text" in held) this.#memoryBytes -= held.text.length;
    this.#rows.delete(key);
    return true;
  }

  /** Gives the rows still held, in the order they came, and lets them go. */
  *drain(): Generator<readonly [key: string, row: HeldRow]> {
    for (const [key, held] of this.#rows) {
      const text = "text" in held ? held.text : (this.#spill?.read(held) ?? "");
      yield [key, { line: held.line, text }];
    }
    this.#rows.clear();
    this.#memoryBytes = 0;
  }

  [Symbol.dispose](): void {
    this.#spill?.[Symbol.dispose]();
    this.#spill = undefined;
  }
}

/** A temporary file of sealed texts; it is gone when it is disposed of. */
class Spill implements Disposable {
  readonly #key = randomBytes(32);
  readonly #directory = mkdtempSync(join(tmpdir(), "custody-import-"));
  readonly #file = openSync(join(this.#directory, "held"), "wx+", 0o600);
  #end = 0;
  #count = 0;

  write(text: string): { readonly offset: number; readonly bytes: number; readonly nonce: number } {
    const nonce = this.#count;
    const cipher = createCipheriv(CIPHER, this.#key, nonceBytes(nonce));
    const sealed = Buffer.concat([
      cipher.update(text, "utf8"),
      cipher.final(),
      cipher.getAuthTag(),
    ]);
    const offset = this.#end;
    for (let done = 0; done < sealed.length;) {
      done += writeSync(this.#file, sealed, done, sealed.length - done, offset + done);
    }
    this.#end += sealed.length;
    this.#count += 1;
    return { offset, bytes: sealed.length, nonce };
  }

  read(place: { readonly offset: number; readonly bytes: number; readonly nonce: number }): string {
    const sealed = Buffer.alloc(place.bytes);
    for (let done = 0; done < sealed.length;) {
      done += readSync(this.#file, sealed, done, sealed.length - done, place.offset + done);
    }
    const decipher = createDecipheriv(CIPHER, this.#key, nonceBytes(place.nonce));
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const text = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    return Buffer.concat([text, decipher.final()]).toString("utf8");
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** The file's key is used once, so a counter never repeats a nonce. */
function nonceBytes(count: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUIntBE(count, NONCE_BYTES - 6, 6);
  return nonce;
}
