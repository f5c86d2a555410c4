/**
 * Runtime: everything core takes from the outside world besides its stores.
 *
 * Clock, randomness and waiting come from here and from nowhere else, so that a simulator can own
 * them; core never touches a thread or a timer itself.
 */
export interface Runtime {
  /** Milliseconds since the Unix epoch; may jump. */
  readonly clock: () => number;
  /** Cryptographically strong random bytes. */
  readonly random: (length: number) => Uint8Array;
  /** Resolves after `ms`, or at once when the signal is aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Compression, which may run on another thread. */
  readonly codec: Codec;
  /** Who runs this process, `os:ana`; the actor until identities exist. */
  readonly user: string;
  /** The disks that the journal and the embedded stores lie on; absent where nobody can tell. */
  readonly space?: () => Promise<readonly DiskSpace[]>;
}

/** A disk, or what a quota leaves of it. */
export interface DiskSpace {
  /** What lies on it, for people; no two have the same. */
  readonly place: string;
  /** Bytes that this user may still write. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Zstandard (RFC 8878) of one frame at a time. */
export interface Codec {
  readonly compress: (bytes: Uint8Array) => Promise<Uint8Array>;
  /** @param rawBytes The exact length the result must have. */
  readonly decompress: (bytes: Uint8Array, rawBytes: number) => Promise<Uint8Array>;
}
