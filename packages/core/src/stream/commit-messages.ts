import { ContractError } from "@custody/contract/errors";
import { StoreError } from "@custody/stores/errors";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";
import type { IntakeMessage, IntakePosition } from "@custody/stores/stream/intake";

import { CoreError } from "../errors.ts";
import type { CommitRecord } from "../journal/commit-request.ts";
import type { CommitDecider } from "../journal/decide-commit.ts";
import { releaseLines } from "../journal/format/lines.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { Journal } from "../journal/journal.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { Runtime } from "../runtime.ts";
import { rejectedInputs, streamPositions } from "../system-types.ts";
import { messagePlace, messageRecords, rejectedRecord } from "./messages.ts";
import type { RejectedInput } from "./messages.ts";
import { positionRecords } from "./positions.ts";
import type { ConsumeSource, TopicPositions } from "./positions.ts";

export interface CommitMessagesParts {
  readonly journal: JournalStore;
  readonly journalWriter: Journal;
  readonly reader: Pick<JournalReader, "recordAt">;
  readonly decider: CommitDecider;
  readonly keys: KeyService;
  readonly runtime: Runtime;
}

type Versions = TopicPositions["versions"];

/** Messages as what they would commit. */
interface Reading {
  readonly records: readonly (CommitRecord & { readonly message: IntakeMessage })[];
  readonly rejected: readonly RejectedInput[];
}

/** CommitMessages: commits messages with the positions behind them, and what is unacceptable as rejected. */
export class CommitMessages {
  readonly #parts: CommitMessagesParts;
  readonly #scope: Scope;
  readonly #source: ConsumeSource;
  #records = 0;
  #duplicates = 0;
  #rejected = 0;

  constructor(parts: CommitMessagesParts, scope: Scope, source: ConsumeSource) {
    this.#parts = parts;
    this.#scope = scope;
    this.#source = source;
  }

  get counts(): {
    readonly records: number;
    readonly duplicates: number;
    readonly rejected: number;
  } {
    return { records: this.#records, duplicates: this.#duplicates, rejected: this.#rejected };
  }

  /**
   * Commits messages and how far they reach, together.
   *
   * @param versions of the positions as they were read.
   * @returns those that the positions have now; `undefined` when another reader has moved them, and nothing was committed.
   */
  async commit(
    messages: readonly IntakeMessage[],
    versions: Versions,
  ): Promise<Versions | undefined> {
    const reading = readAll(this.#source.topic, messages);
    try {
      return await this.#put(reading, messages, versions);
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
    }
    if (await this.#hasMoved(versions)) return undefined;
    try {
      return await this.#put(await this.#withoutRefused(reading), messages, versions);
    } catch (cause) {
      if (!isRefusal(cause)) throw cause;
      if (await this.#hasMoved(versions)) return undefined;
      return await this.#oneByOne(messages, versions, cause);
    }
  }

  /** What only the commit itself refuses (a name that is taken) is found by halving. */
  async #oneByOne(
    messages: readonly IntakeMessage[],
    versions: Versions,
    cause: Error,
  ): Promise<Versions | undefined> {
    const [only] = messages;
    if (messages.length === 1 && only !== undefined) {
      const at = messagePlace(this.#source.topic, only);
      const rejected = [{ at, reason: cause.message, message: only }];
      return await this.#put({ records: [], rejected }, messages, versions);
    }
    const half = Math.ceil(messages.length / 2);
    const then = await this.commit(messages.slice(0, half), versions);
    return then === undefined ? undefined : await this.commit(messages.slice(half), then);
  }

  async #put(
    { records, rejected }: Reading,
    messages: readonly IntakeMessage[],
    versions: Versions,
  ): Promise<Versions> {
    const now = this.#parts.runtime.clock();
    const { topic, type } = this.#source;
    const reached = reachedBy(messages);
    const { put, ifVersion } = positionRecords(this.#source, reached, { versions, now });
    const refused = rejected.map((one) => rejectedRecord(topic, one, now));
    const parts = [
      { type, put: records },
      { type: rejectedInputs.name, put: refused },
      { type: streamPositions.name, put },
    ].filter((part) => part.put.length > 0);
    const { receipt } = await this.#parts.journalWriter.commit(this.#scope, parts, {
      ifVersion: { [streamPositions.name]: ifVersion },
      source: { tool: "stream" },
    });
    let moved = 0;
    for (const entry of receipt.entries) {
      if (entry.type === type) this.#records += entry.accepted;
      if (entry.type === streamPositions.name) moved = entry.sequence;
    }
    this.#duplicates += receipt.duplicates[type] ?? 0;
    this.#rejected += rejected.length;
    return new Map([...versions, ...reached.map(({ partition }) => [partition, moved] as const)]);
  }

  /** Whether the positions are not as they were read: another reader has committed the same messages. */
  async #hasMoved(versions: Versions): Promise<boolean> {
    const ids = [...versions.keys()].map((partition) => `${this.#source.topic}/${partition}`);
    const now = await this.#parts.journal.lookup(this.#scope, streamPositions.name, ids);
    return [...versions.values()].some((version, index) => {
      const at = now[index];
      return (at === undefined || at.isDeleted ? 0 : at.sequence) !== version;
    });
  }

  /** The same without the records that the journal would refuse, which are rejected. */
  async #withoutRefused({ records, rejected }: Reading): Promise<Reading> {
    const { decider, keys } = this.#parts;
    const options = { onBad: "reject" } as const;
    const part = { type: this.#source.type, put: records };
    const hashKey = await keys.hashKey(this.#scope.tenant);
    const prepared = decider.prepare(this.#scope, part, options, hashKey);
    const decision = await decider.decide(this.#scope, [prepared], options);
    for (const { lines } of decision.drafts) releaseLines(lines);
    const reasons = new Map(decision.rejections.map(({ index, reason }) => [index, reason]));
    const bad = records.flatMap(({ place = "", message }, index) => {
      const reason = reasons.get(index);
      return reason === undefined ? [] : [{ at: place, reason, message }];
    });
    return {
      records: records.filter((_, index) => !reasons.has(index)),
      rejected: [...rejected, ...bad],
    };
  }
}

function readAll(topic: string, messages: readonly IntakeMessage[]): Reading {
  const records: (CommitRecord & { readonly message: IntakeMessage })[] = [];
  const rejected: RejectedInput[] = [];
  for (const message of messages) {
    try {
      for (const record of messageRecords(topic, message)) records.push({ ...record, message });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      rejected.push({ at: messagePlace(topic, message), reason, message });
    }
  }
  return { records, rejected };
}

/** The position behind the last message of each partition. */
function reachedBy(messages: readonly IntakeMessage[]): readonly IntakePosition[] {
  const last = new Map(messages.map(({ partition, offset }) => [partition, offset + 1]));
  return [...last].map(([partition, offset]) => ({ partition, offset }));
}

/** Whether a failure is about what was to be committed, and not about the call or the journal. */
function isRefusal(cause: unknown): cause is Error {
  if (cause instanceof ContractError) return true;
  if (cause instanceof CoreError) return cause.code === "invalid" || cause.code === "conflict";
  if (!(cause instanceof StoreError)) return false;
  return cause.code === "conflict" || cause.code === "refused" || cause.code === "limit";
}
