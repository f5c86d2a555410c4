/** Ends the work when a promise of our own code is broken; never used for what the world may do. */
export function assert(condition: boolean, promise: string): asserts condition {
  if (!condition) throw new Error(`broken promise: ${promise}`);
}
