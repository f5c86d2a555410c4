/** Turns: works of one name one after another, those of different names side by side. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs work after all that was asked for before it under the same name, however that ended. */
  async run(name: string, work: () => Promise<void>): Promise<void> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const turn = before.then(work);
    this.#last.set(
      name,
      turn.catch(() => undefined),
    );
    await turn;
  }
}
