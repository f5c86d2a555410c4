/** A set of hashed keys in 16 bytes or less each, for remembering millions of them. */
export class KeySet {
  #slots = new BigUint64Array(1024);
  #count = 0;

  /** Remembers a key given as at least 16 hexadecimal digits of a hash; false when it was known. */
  add(key: string): boolean {
    if (this.#count * 2 >= this.#slots.length) this.#grow();
    const value = slotValue(key);
    const at = place(this.#slots, value);
    if (this.#slots[at] === value) return false;
    this.#slots[at] = value;
    this.#count += 1;
    return true;
  }

  has(key: string): boolean {
    const value = slotValue(key);
    return this.#slots[place(this.#slots, value)] === value;
  }

  #grow(): void {
    const larger = new BigUint64Array(this.#slots.length * 2);
    for (const value of this.#slots) if (value !== 0n) larger[place(larger, value)] = value;
    this.#slots = larger;
  }
}

/** Zero marks an empty slot, so the one key that hashes to it is counted as one. */
function slotValue(key: string): bigint {
  return BigInt(`0x${key.slice(0, 16)}`) || 1n;
}

function place(slots: BigUint64Array, value: bigint): number {
  const mask = slots.length - 1;
  let at = Number(value & BigInt(mask));
  while (slots[at] !== 0n && slots[at] !== value) at = (at + 1) & mask;
  return at;
}
