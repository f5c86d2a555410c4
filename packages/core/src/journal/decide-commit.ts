import { checkRecordId, SYSTEM_TENANT } from "@custody/contract/ids";
import { parseJson } from "@custody/contract/json";
import type { IdPosition, JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import { keyedHash } from "../keys/keyed-hash.ts";
import type { CompiledType } from "../records/compiled-type.ts";
import { prepareRecord } from "../records/prepare-record.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import type { CommitOptions, CommitPart, Rejection } from "./commit-request.ts";
import { recordHashes } from "./content-hash.ts";
import { draftEntry } from "./draft-entry.ts";
import type { DraftEntry, DraftLine } from "./draft-entry.ts";
import { joinTexts } from "./entry-records.ts";
import type { JournalReader } from "./journal-reader.ts";
import type { FieldSealer } from "./seal-records.ts";
import { requireVersion, sortRecords } from "./sort-records.ts";
import type { HashedRecord } from "./sort-records.ts";

/** One part of a commit after validation. */
export interface PreparedPart {
  readonly type: CompiledType;
  readonly records: readonly HashedRecord[];
  readonly deletes: readonly string[];
  readonly rejections: readonly Rejection[];
}

/** What the id index said, and what was decided by it. */
export interface Decision {
  readonly drafts: readonly DraftEntry[];
  readonly rows: readonly {
    readonly type: CompiledType;
    readonly records: readonly HashedRecord[];
    readonly deletes: readonly string[];
  }[];
  readonly duplicates: Record<string, number>;
  readonly rejected: Record<string, number>;
  readonly rejections: readonly Rejection[];
  readonly looked: readonly {
    readonly type: string;
    readonly ids: readonly string[];
    readonly positions: readonly (IdPosition | undefined)[];
  }[];
  readonly sequence: number;
}

export interface CommitDeciderParts {
  readonly registry: TypeRegistry;
  readonly store: JournalStore;
  readonly reader: Pick<JournalReader, "recordAt">;
  readonly sealer: FieldSealer;
  readonly runtime: Runtime;
}

/** CommitDecider: works out what a commit would write, by what the journal holds now. */
export class CommitDecider {
  readonly #parts: CommitDeciderParts;

  constructor(parts: CommitDeciderParts) {
    this.#parts = parts;
  }

  /** Checks the records of a part and hashes them. @throws CoreError `invalid` naming the record's place. */
  prepare(
    scope: Scope,
    part: CommitPart,
    options: CommitOptions,
    hashKey: Uint8Array,
  ): PreparedPart {
    const type = this.#parts.registry.require(part.type);
    this.#checkScope(scope, type);
    const rejections: Rejection[] = [];
    const kept: {
      record: ReturnType<typeof prepareRecord>;
      place: string | undefined;
      index: number;
    }[] = [];
    const context = {
      runtime: this.#parts.runtime,
      keyedHash: (text: string) =>
        Buffer.from(keyedHash(hashKey, "natural-key", text)).toString("hex"),
    };
    for (const [index, { fields, place, keptId }] of (part.put ?? []).entries()) {
      try {
        const made = prepareRecord(type, fields, context);
        const record = keptId === undefined ? made : { ...made, id: checkRecordId(keptId) };
        requireOwner(scope, type, record);
        kept.push({ record, place, index });
      } catch (cause) {
        if (options.onBad !== "reject" || !(cause instanceof CoreError))
          throw atPlace(cause, place);
        rejections.push(rejection(type, cause.message, index, place));
      }
    }
    const { text, offsets } = joinTexts(kept.map(({ record }) => record.text));
    const hashes = recordHashes(type.declaration, hashKey, { text, offsets });
    const records = kept.map(({ record: { id, fields, observedAt }, place, index }, at) => ({
      id,
      fields,
      observedAt,
      bytes: text.subarray(offsets[at], offsets[at + 1]),
      contentHash: hashes.subarray(at * 16, at * 16 + 16),
      place,
      index,
    }));
    return { type, records, deletes: (part.delete ?? []).map(checkRecordId), rejections };
  }

  #checkScope(scope: Scope, type: CompiledType): void {
    const isShared = type.declaration.scope === "shared";
    if (isShared && scope.tenant !== SYSTEM_TENANT) {
      throw new CoreError(
        "usage",
        `${type.name} is shared by all tenants: commit it in tenant ${SYSTEM_TENANT}`,
      );
    }
  }

  /** Looks every id up and drafts the entries. @throws CoreError `conflict`. */
  async decide(
    scope: Scope,
    prepared: readonly PreparedPart[],
    options: CommitOptions,
  ): Promise<Decision> {
    const { store, runtime } = this.#parts;
    const sequence = (await store.head(scope))?.sequence ?? 0;
    const drafts: DraftEntry[] = [];
    const rows: Decision["rows"][number][] = [];
    const looked: Decision["looked"][number][] = [];
    const rejections: Rejection[] = [];
    const duplicates: Record<string, number> = {};
    const onBad = options.onBad ?? "refuse";
    for (const { type, records: given, deletes, rejections: invalid } of prepared) {
      const checked =
        options.isCarriedOver === true
          ? { records: given, rejections: [] }
          : await this.#checkReferences(scope, type, given, onBad);
      const ids = checked.records.map(({ id }) => id);
      const positions = await store.lookup(scope, type.name, ids);
      await this.#checkOwners(scope, type, ids, positions);
      const ifVersion = options.ifVersion?.[type.name];
      const isCorrection = options.corrects !== undefined;
      const sorted = sortRecords(type, checked.records, positions, {
        onBad,
        isCorrection,
        ifVersion,
      });
      looked.push({ type: type.name, ids, positions });
      for (const wave of sorted.waves) {
        const lines = await this.#parts.sealer(scope, type, wave);
        const operation = isCorrection && type.declaration.mode === "append" ? "correction" : "put";
        drafts.push(draftEntry(type, operation, lines, runtime.random(16 * lines.length)));
        rows.push({ type, records: wave, deletes: [] });
      }
      const removed = await this.#draftDeletes(scope, type, deletes, ifVersion);
      looked.push({ type: type.name, ids: deletes, positions: removed.positions });
      if (removed.draft !== undefined) {
        drafts.push(removed.draft);
        rows.push({ type, records: [], deletes: removed.draft.ids });
      }
      rejections.push(...invalid, ...checked.rejections, ...sorted.rejections);
      if (sorted.duplicates > 0)
        duplicates[type.name] = (duplicates[type.name] ?? 0) + sorted.duplicates;
    }
    const rejected: Record<string, number> = {};
    for (const { type } of rejections) rejected[type] = (rejected[type] ?? 0) + 1;
    return { drafts, rows, duplicates, rejected, rejections, looked, sequence };
  }

  async #draftDeletes(
    scope: Scope,
    type: CompiledType,
    ids: readonly string[],
    ifVersion: Readonly<Record<string, number>> | undefined,
  ): Promise<{
    readonly draft?: DraftEntry;
    readonly positions: readonly (IdPosition | undefined)[];
  }> {
    if (ids.length === 0) return { positions: [] };
    if (type.declaration.mode === "append") {
      throw new CoreError(
        "conflict",
        `records of ${type.name} are never deleted; they end with their retention`,
      );
    }
    const positions = await this.#parts.store.lookup(scope, type.name, ids);
    await this.#checkOwners(scope, type, ids, positions);
    const lines: DraftLine[] = [];
    for (const [index, id] of ids.entries()) {
      const expected = ifVersion?.[id];
      if (expected !== undefined) requireVersion(type, id, positions[index], expected);
      const position = positions[index];
      if (position !== undefined && !position.isDeleted)
        lines.push({ id, contentHash: new Uint8Array(16) });
    }
    if (lines.length === 0) return { positions };
    const salts = this.#parts.runtime.random(16 * lines.length);
    return { draft: draftEntry(type, "delete", lines, salts), positions };
  }

  /** Whoever commits for one owner changes no record of another. @throws CoreError `conflict`. */
  async #checkOwners(
    scope: Scope,
    type: CompiledType,
    ids: readonly string[],
    positions: readonly (IdPosition | undefined)[],
  ): Promise<void> {
    if (scope.owner === undefined || type.ownerOf === undefined) return;
    for (const [index, position] of positions.entries()) {
      if (position === undefined || position.isDeleted) continue;
      const { text } = await this.#parts.reader.recordAt(scope, position);
      requireOwner(scope, type, { id: ids[index] ?? "", fields: parseJson(text) });
    }
  }

  /** Checks that what records name exists; @throws CoreError `conflict` naming the reference. */
  async #checkReferences(
    scope: Scope,
    type: CompiledType,
    records: readonly HashedRecord[],
    onBad: "refuse" | "reject",
  ): Promise<{
    readonly records: readonly HashedRecord[];
    readonly rejections: readonly Rejection[];
  }> {
    const rejections: Rejection[] = [];
    let kept = records;
    for (const reference of type.references) {
      const target = this.#parts.registry.require(reference.type);
      const home = this.#parts.registry.home(scope, target);
      const named = [
        ...new Set(kept.flatMap(({ fields }) => reference.values(fields)).map(String)),
      ];
      const positions = await this.#parts.store.lookup(home, reference.type, named);
      const unknown = new Set(named.filter((_, index) => positions[index]?.isDeleted !== false));
      if (unknown.size === 0) continue;
      kept = kept.filter((record) => {
        const missing = reference
          .values(record.fields)
          .map(String)
          .find((id) => unknown.has(id));
        if (missing === undefined) return true;
        const reason = `${type.name} ${record.id}: ${reference.field} names ${missing}, which is no ${reference.type}`;
        if (reference.onUnknown === "reject-commit" && onBad === "refuse")
          throw new CoreError("conflict", reason);
        rejections.push({ ...rejection(type, reason, record.index, record.place), id: record.id });
        return false;
      });
    }
    return { records: kept, rejections };
  }
}

/** @throws CoreError `conflict` when a commit for one owner would touch another's record. */
function requireOwner(
  scope: Scope,
  type: CompiledType,
  { id, fields }: { readonly id: string; readonly fields: unknown },
): void {
  if (scope.owner === undefined || type.ownerOf === undefined) return;
  if (type.ownerOf(fields) === scope.owner) return;
  throw new CoreError(
    "conflict",
    `${type.name} ${id} belongs to another owner than the one this commit is for`,
    { at: `${type.name} ${id}` },
  );
}

function rejection(
  type: CompiledType,
  reason: string,
  index: number,
  place: string | undefined,
): Rejection {
  return { type: type.name, reason, index, ...(place === undefined ? {} : { place }) };
}

function atPlace(cause: unknown, place: string | undefined): unknown {
  if (!(cause instanceof CoreError) || place === undefined) return cause;
  return new CoreError(cause.code, `${place}: ${cause.message}`, { cause, at: place });
}
