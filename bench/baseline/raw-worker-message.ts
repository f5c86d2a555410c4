/** What a thread is started with. */
export interface RawWorkerStart {
  readonly names: readonly string[];
  readonly options: unknown;
}

/** Rows by store, or `close`. */
export type RawWorkerMessage = Readonly<Record<string, unknown>> | "close";
