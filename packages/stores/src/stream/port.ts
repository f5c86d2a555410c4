import type { Scope } from "../scope.ts";
import type { EvidenceIntake } from "./intake.ts";

/**
 * Stream: domain events, told at least once, in order for each key.
 *
 * An event says that a record was committed (ids and facts, never a personal field). Groups read a
 * topic independently and go on from what they acknowledged. The embedded engine is a cursor over
 * the journal and stores nothing but the groups' offsets.
 */
export interface EventStream extends EvidenceIntake, AsyncDisposable {
  readonly role: "stream";
  readonly engine: string;
  readonly capabilities: {
    /** True when events come from the journal itself, so that `publish` is not needed. */
    readonly isJournalCursor: boolean;
    /** True when evidence can be read from topics that others write: {@link EvidenceIntake}. */
    readonly hasIntake: boolean;
  };
  readonly limits: { readonly pageMax: number; readonly groupLengthMax: number };

  /**
   * Sends events, in order; repeating a batch may tell events twice.
   *
   * @throws StoreError `unsupported` when the stream is a journal cursor.
   */
  publish(scope: Scope, events: readonly NewEvent[]): Promise<void>;
  /**
   * Events after `offset` (`0` for the beginning), ascending.
   *
   * @throws StoreError `limit` for a page over `limits.pageMax`, `refused` for what is no offset.
   */
  read(
    scope: Scope,
    topic: string,
    options: { readonly after: string; readonly limit: number },
  ): Promise<readonly StreamEvent[]>;
  /** Events after what the group acknowledged. */
  poll(scope: Scope, topic: string, group: string, limit: number): Promise<readonly StreamEvent[]>;
  /**
   * Remembers that the group has dealt with everything up to `offset`; an older offset changes nothing.
   * Groups need no making: one that never acknowledged begins at the beginning.
   */
  acknowledge(scope: Scope, topic: string, group: string, offset: string): Promise<void>;
  /** Moves a group anywhere, to read again. */
  seek(scope: Scope, topic: string, group: string, offset: string): Promise<void>;
  groups(
    scope: Scope,
    topic: string,
  ): Promise<readonly { readonly group: string; readonly offset: string }[]>;
}

export interface NewEvent {
  readonly topic: string;
  /** The record's id: events of one key keep their order. */
  readonly key: string;
  /**
   * Unique and stable: `tenant:timeline:sequence:ordinal`, where 12 hex digits tell the timeline. What was
   * told before a restore keeps its id, and what comes after never takes one that was given.
   */
  readonly eventId: string;
  /** JSON text. */
  readonly body: string;
}

export interface StreamEvent extends NewEvent {
  /** Opaque, and ordered within the topic for one key. */
  readonly offset: string;
}

/**
 * Where a journal cursor gets its events: those of a topic after an offset, ascending. Its offsets are
 * whole numbers joined by dots (`sequence.ordinal`), ordered number by number.
 */
export type EventSource = (
  scope: Scope,
  topic: string,
  options: { readonly after: string; readonly limit: number },
) => Promise<readonly StreamEvent[]>;
