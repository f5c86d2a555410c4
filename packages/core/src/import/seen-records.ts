import { hash } from "node:crypto";

/**
 * SeenRecords: which ids an import has met so far, and with which content, in 16 bytes a record.
 *
 * An open-addressing table of 64-bit hashes of ids and contents: an import of ten million records
 * needs some 300 MB, one of a hundred thousand 4 MB. Two ids that share 64 bits of SHA-256 are taken
 * for one, which among ten million happens once in 400,000 imports.
 */
export class SeenRecords {
  #ids: BigUint64Array;
  #contents: BigUint64Array;
  #size = 0;

  constructor() {
    this.#ids = new BigUint64Array(1024);
    this.#contents = new BigUint64Array(1024);
  }

  /** How the record stands to what was met before, and remembers it. */
  meet(type: string, id: string, contentHash: Uint8Array): "new" | "same" | "changed" {
    const key = idKey(type, id);
    const content = contentKey(contentHash);
    const slot = this.#slot(key);
    if (this.#ids[slot] === 0n) {
      this.#ids[slot] = key;
      this.#contents[slot] = content;
      this.#size += 1;
      if (this.#size * 2 > this.#ids.length) this.#grow();
      return "new";
    }
    if (this.#contents[slot] === content) return "same";
    this.#contents[slot] = content;
    return "changed";
  }

  #slot(key: bigint): number {
    const mask = this.#ids.length - 1;
    let slot = Number(key & BigInt(mask));
    while (this.#ids[slot] !== 0n && this.#ids[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const [ids, contents] = [this.#ids, this.#contents];
    this.#ids = new BigUint64Array(ids.length * 2);
    this.#contents = new BigUint64Array(ids.length * 2);
    for (const [index, key] of ids.entries()) {
      if (key === 0n) continue;
      const slot = this.#slot(key);
      this.#ids[slot] = key;
      this.#contents[slot] = contents[index] ?? 0n;
    }
  }
}

function idKey(type: string, id: string): bigint {
  const key = hash("sha256", `${type}\0${id}`, "buffer").readBigUInt64LE();
  // Zero marks a free slot.
  return key === 0n ? 1n : key;
}

function contentKey(contentHash: Uint8Array): bigint {
  return Buffer.from(contentHash.buffer, contentHash.byteOffset, 8).readBigUInt64LE();
}
