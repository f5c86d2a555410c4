/** A map of texts that forgets those longest unused once they take more room than they may. */
export class BoundedBytes {
  readonly #bytesMax: number;
  readonly #texts = new Map<string, string>();
  #bytes = 0;

  /** @param bytesMax Names and texts together, at two bytes a UTF-16 unit. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(name: string): string | undefined {
    const text = this.#texts.get(name);
    if (text !== undefined) {
      this.#texts.delete(name);
      this.#texts.set(name, text);
    }
    return text;
  }

  set(name: string, text: string): void {
    this.#drop(name);
    this.#texts.set(name, text);
    this.#bytes += size(name, text);
    for (const oldest of this.#texts.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#drop(oldest);
    }
  }

  clear(): void {
    this.#texts.clear();
    this.#bytes = 0;
  }

  #drop(name: string): void {
    const text = this.#texts.get(name);
    if (text === undefined) return;
    this.#texts.delete(name);
    this.#bytes -= size(name, text);
  }
}

function size(name: string, text: string): number {
  return 2 * (name.length + text.length);
}
