import { StoreError } from "../errors.ts";

/** Lets so many pieces of work run at once, the others in the order of asking. */
export class Neo4jSlots {
  readonly #what: string;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  /** @param what What there are so many of, for messages: `connections`. */
  constructor(count: number, what: string) {
    this.#free = count;
    this.#what = what;
  }

  /** @throws StoreError `unavailable` when no slot is free within `ms`. */
  async run<Result>(ms: number, work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(ms);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // Handed on while still taken, so that nobody slips in between.
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  async #wait(ms: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const turn = (): void => resolve(undefined);
    const timer = setTimeout(() => {
      const place = this.#waiting.indexOf(turn);
      if (place === -1) return;
      this.#waiting.splice(place, 1);
      reject(new StoreError("unavailable", `all ${this.#what} were in use for ${ms} ms`));
    }, ms);
    this.#waiting.push(turn);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
