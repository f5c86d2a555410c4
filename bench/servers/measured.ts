/** The same work by the vendor's client and by our store. */
export interface OperationPair {
  readonly name: string;
  /** Of the rate: `puts/s`. */
  readonly unit: string;
  /** How much of it a call does. */
  readonly amount: number;
  /** Does the work once; `run` is a name of its own for what is written. */
  readonly raw: (run: string) => Promise<unknown>;
  readonly store: (run: string) => Promise<unknown>;
}

/** What is measured on one server, and how it is closed. */
export interface Measured {
  readonly pairs: readonly OperationPair[];
  readonly close: () => Promise<void>;
}

/** Does so many calls, so many at a time. */
export async function callsAtOnce(
  calls: number,
  atOnce: number,
  call: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < calls) {
      next += 1;
      await call(next - 1);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, calls) }, worker));
}
