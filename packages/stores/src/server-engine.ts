/** What a server says of itself when asked whether it is well. */
export interface EngineHealth {
  /** `PostgreSQL`, or what the server calls itself. */
  readonly product: string;
  readonly version: string;
  /** Milliseconds that the answer took. */
  readonly tookMs: number;
}

/** An engine that runs elsewhere: it can be asked how it is. */
export interface ServerEngine {
  /**
   * Asks the server for its version, through the pool that calls use.
   *
   * @throws StoreError `unavailable` when it does not answer, `unsupported` when it is too old.
   */
  health(): Promise<EngineHealth>;
}
