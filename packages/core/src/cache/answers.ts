import { createHmac } from "node:crypto";

import { canonicalJson } from "@custody/contract/json";
import type { Cache } from "@custody/stores/cache/port";
import type { Scope } from "@custody/stores/scope";

import { aeadOpen, aeadSeal, deriveKey, NONCE_BYTES } from "../journal/format/aead.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { Runtime } from "../runtime.ts";
import { answerText, parseAnswer } from "./answer-text.ts";
import { BoundedBytes } from "./bounded-bytes.ts";

export interface AnswersParts {
  /** The cache role's store. */
  readonly cache: () => Promise<Cache>;
  readonly keys: Pick<KeyService, "hashKey">;
  readonly runtime: Pick<Runtime, "clock" | "random">;
  readonly settings: AnswerSettings;
}

export interface AnswerSettings {
  /** Bytes of answers kept in the process; 0 keeps none anywhere. */
  readonly bytesMax: number;
  /** A longer answer is not kept. */
  readonly answerBytesMax: number;
  /** How long the cache role keeps one. */
  readonly ttlMs: number;
  /** Quicker answers are kept in the process alone: asking the cache role takes as long. */
  readonly worthMs: number;
}

/** What an answer depends on; two questions with an equal one have the same answer. */
export interface Question {
  /** `search sqlite redteam/hits 1`: role, engine, collection and generation. */
  readonly place: string;
  readonly checkpoint: number;
  readonly operation: string;
  readonly query: unknown;
}

// After the cache role failed, it is left alone for so long.
const COOLING_MS = 10_000;
const FORMAT = 1;
const EPOCH = "answers/epoch";
const EPOCH_TTL_MS = 24 * 60 * 60 * 1000;

/**
 * Answers: the first two levels of the cache. An answer is kept in the process, and in the cache role
 * for other processes, under everything it depends on: tenant, owner, projection, checkpoint and query.
 * When the projection moves on, its checkpoint is another and the answer is not found again: a stale
 * one cannot be given. A repair changes rows without moving a checkpoint, so it begins a new epoch.
 *
 * In the cache role answers are sealed with a key of the tenant's, as they hold evidence.
 */
export class Answers {
  readonly #parts: AnswersParts;
  readonly #kept: BoundedBytes;
  readonly #asked = new Map<string, Promise<unknown>>();
  #repairs = 0;
  #coolUntil = 0;

  constructor(parts: AnswersParts) {
    this.#parts = parts;
    this.#kept = new BoundedBytes(parts.settings.bytesMax);
  }

  /** Answers from what is kept, or asks and keeps the answer. The same question asked meanwhile waits for it. */
  async answer<Answer>(
    scope: Scope,
    question: Question,
    ask: () => Promise<Answer>,
  ): Promise<Answer> {
    const { settings } = this.#parts;
    // An empty projection answers at once, and a tenant that was never written to has no key.
    if (settings.bytesMax === 0 || question.checkpoint === 0) return ask();
    const name = canonicalJson([
      FORMAT,
      this.#repairs,
      scope.tenant,
      scope.owner ?? null,
      question.place,
      question.checkpoint,
      question.operation,
      question.query ?? null,
    ]);
    const kept = this.#kept.get(name);
    if (kept !== undefined) return parseAnswer(kept) as Answer;
    const asked = this.#asked.get(name) ?? this.#ask(scope, question, { name, ask });
    this.#asked.set(name, asked);
    try {
      return structuredClone((await asked) as Answer);
    } finally {
      this.#asked.delete(name);
    }
  }

  /** Forgets every answer about a tenant, in every process; after rows were repaired. */
  async forget(scope: Scope): Promise<void> {
    this.#repairs += 1;
    this.#kept.clear();
    await this.#cached(async (cache) => {
      await cache.put(scope, EPOCH, this.#parts.runtime.random(16), { ttlMs: EPOCH_TTL_MS });
    });
  }

  async #ask<Answer>(
    scope: Scope,
    question: Question,
    { name, ask }: { readonly name: string; readonly ask: () => Promise<Answer> },
  ): Promise<Answer> {
    const { settings, runtime } = this.#parts;
    const repairs = this.#repairs;
    const place = await this.#placeInCache(scope, question);
    const found = place === undefined ? undefined : await this.#read(scope, place);
    if (found !== undefined) {
      this.#keep(name, found, repairs);
      return parseAnswer(found) as Answer;
    }
    const startedAt = runtime.clock();
    const answer = await ask();
    const tookMs = runtime.clock() - startedAt;
    const text = answerText(answer);
    if (text.length > settings.answerBytesMax || repairs !== this.#repairs) return answer;
    this.#keep(name, text, repairs);
    if (place !== undefined && tookMs >= settings.worthMs) await this.#write(scope, place, text);
    return answer;
  }

  #keep(name: string, text: string, repairs: number): void {
    if (repairs === this.#repairs) this.#kept.set(name, text);
  }

  /** Where the cache role keeps the answer, and the key that seals it. */
  async #placeInCache(scope: Scope, question: Question): Promise<CachePlace | undefined> {
    return this.#cached(async (cache) => {
      const epoch = await this.#epoch(cache, scope);
      const secret = await this.#parts.keys.hashKey(scope.tenant);
      const key = deriveKey(secret, epoch, Buffer.from("custody answers"));
      const { place, checkpoint, operation, query } = question;
      const name = canonicalJson([
        scope.owner ?? null,
        place,
        checkpoint,
        operation,
        query ?? null,
      ]);
      const digest = createHmac("sha256", key).update(`${FORMAT}\0${name}`).digest("base64url");
      return { key, name: `answers/${digest}` };
    });
  }

  async #epoch(cache: Cache, scope: Scope): Promise<Uint8Array> {
    const known = await cache.get(scope, EPOCH);
    if (known !== undefined) return known;
    // Two processes may both make one: the later wins, and answers under the earlier are not found again.
    const epoch = this.#parts.runtime.random(16);
    await cache.put(scope, EPOCH, epoch, { ttlMs: EPOCH_TTL_MS });
    return epoch;
  }

  async #read(scope: Scope, { key, name }: CachePlace): Promise<string | undefined> {
    const sealed = await this.#cached((cache) => cache.get(scope, name));
    if (sealed === undefined) return undefined;
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const associated = Buffer.from(name);
    return aeadOpen({ key, nonce, associated }, sealed.subarray(NONCE_BYTES))?.toString("utf8");
  }

  async #write(scope: Scope, { key, name }: CachePlace, text: string): Promise<void> {
    const { runtime, settings } = this.#parts;
    const nonce = runtime.random(NONCE_BYTES);
    const body = aeadSeal({ key, nonce, associated: Buffer.from(name) }, Buffer.from(text));
    const { ttlMs } = settings;
    await this.#cached((cache) => cache.put(scope, name, Buffer.concat([nonce, body]), { ttlMs }));
  }

  /** Uses the cache role, without which every question is answered all the same. */
  async #cached<Result>(use: (cache: Cache) => Promise<Result>): Promise<Result | undefined> {
    const { clock } = this.#parts.runtime;
    if (clock() < this.#coolUntil) return undefined;
    try {
      return await use(await this.#parts.cache());
    } catch {
      this.#coolUntil = clock() + COOLING_MS;
      return undefined;
    }
  }
}

interface CachePlace {
  readonly key: Uint8Array;
  readonly name: string;
}
