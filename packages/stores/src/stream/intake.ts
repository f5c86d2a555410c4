import type { Scope } from "../scope.ts";

/**
 * Evidence in: messages that other programs have put on a topic, read from positions that the caller keeps.
 *
 * The stream remembers nothing: whoever commits the messages commits the new positions with them, so
 * that neither can be there without the other. Topics are named as the server knows them.
 */
export interface EvidenceIntake {
  /**
   * The partitions of a topic, by number, and what each holds.
   *
   * @throws StoreError `refused` for a topic that does not exist or that belongs to another tenant,
   * `unsupported` without the capability `hasIntake`.
   */
  partitions(scope: Scope, topic: string): Promise<readonly IntakePartition[]>;
  /**
   * Reads the messages from the given positions on: what is there, or what comes within `waitMs`. A
   * partition that is not named is not read. Messages of a partition come in the order of their offsets.
   *
   * Messages of transactions that were given up are left out, and those of open ones waited for.
   *
   * @throws StoreError `refused` for a position beyond the end of its partition, as when a topic was
   * made anew under its old name; otherwise as `partitions`.
   */
  fetch(scope: Scope, topic: string, request: IntakeRequest): Promise<IntakePage>;
}

export interface IntakePartition {
  readonly partition: number;
  /** Offset of the oldest message that is still there. */
  readonly start: number;
  /** Offset that the next message will have. */
  readonly end: number;
}

/** How far a partition has been read. */
export interface IntakePosition {
  readonly partition: number;
  /** Offset of the next message to be read. */
  readonly offset: number;
}

export interface IntakeRequest {
  readonly positions: readonly IntakePosition[];
  /** Messages at most; up to 10,000. */
  readonly messagesMax: number;
  /** Bytes at most; a single message that is larger comes alone. */
  readonly bytesMax: number;
  /** How long to wait for a first message. */
  readonly waitMs: number;
}

export interface IntakePage {
  readonly messages: readonly IntakeMessage[];
  /** Where to go on, for every position of the request. */
  readonly positions: readonly IntakePosition[];
  /** Messages that the server had deleted before they were read. */
  readonly lost: number;
}

export interface IntakeMessage {
  readonly partition: number;
  readonly offset: number;
  readonly key: Uint8Array | undefined;
  /** Absent for a message without a value. */
  readonly value: Uint8Array | undefined;
  readonly headers: readonly (readonly [name: string, value: Uint8Array])[];
  /** Epoch milliseconds. */
  readonly timestamp: number;
}
