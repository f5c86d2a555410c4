/** EngineTurns: works of one engine one after another, those of different engines side by side. */
export class EngineTurns {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs work after all that was asked for before it with the same engine, however that ended. */
  async run(engine: string, work: () => Promise<void>): Promise<void> {
    const before = this.#last.get(engine) ?? Promise.resolve();
    const turn = before.then(work);
    this.#last.set(
      engine,
      turn.catch(() => undefined),
    );
    await turn;
  }
}
