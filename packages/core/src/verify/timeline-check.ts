import type { Entry } from "../journal/format/entry.ts";
import type { TreeFrontier } from "../journal/format/tree-frontier.ts";

/**
 * TimelineCheck: follows in which histories the entries of a journal were written, as they pass in order.
 *
 * Only a restore begins another timeline, one that was never there; and it must tell the truth of what it left.
 */
export class TimelineCheck {
  /** Histories that entries were written in: each begins once. */
  readonly #names: Set<string>;
  #present: string | undefined;

  /** @param names the timelines before the entry that passes first, oldest first. */
  constructor(names: readonly string[] = []) {
    this.#names = new Set(names);
    this.#present = names.at(-1);
  }

  /** That of the entry which passed last. */
  get present(): string | undefined {
    return this.#present;
  }

  /**
   * Lets an entry pass.
   *
   * @param before the tree of the entries before it.
   * @returns what is wrong with the entry; `undefined` when nothing is.
   */
  pass({ timeline, oldHead, sequence }: Entry, before: TreeFrontier): string | undefined {
    if (oldHead === undefined && timeline === this.#present) return undefined;
    if (oldHead === undefined && sequence > 1)
      return "it is of another timeline, and no restore began that";
    if (this.#names.has(timeline)) return "it begins a timeline that was there before";
    if (oldHead !== undefined && oldHead.timeline === this.#present) {
      const root = Buffer.from(before.root()).toString("hex");
      const isOther = oldHead.size === before.size && oldHead.root !== root;
      if (oldHead.size < before.size || isOther)
        return "the old head it names is not one of the entries before it";
    }
    this.#present = timeline;
    this.#names.add(timeline);
    return undefined;
  }
}
