import { uuidV7 } from "@custody/contract/ids";
import { stringifyJson } from "@custody/contract/json";
import { ImportError } from "@custody/contract/importer";
import type { ImportRow } from "@custody/contract/importer";
import type { Receipt } from "@custody/contract/receipt";
import type {
  JournalHead,
  JournalTransaction,
  SegmentRow,
} from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { ImportOptions, ImportReport } from "../custody.ts";
import { CoreError } from "../errors.ts";
import type { PlacedStep } from "../journal/committer.ts";
import type { CommitPart, CommitRecord } from "../journal/commit-request.ts";
import type { DraftEntry } from "../journal/draft-entry.ts";
import type { EntrySource } from "../journal/format/entry.ts";
import { INTENT_LEASE_MS } from "../journal/line-store.ts";
import type { HashedRecord } from "../journal/sort-records.ts";
import { keyedHash } from "../keys/keyed-hash.ts";
import { rejectedInputs, sourceFiles } from "../system-types.ts";
import type { FileFacts, FileImporterParts } from "./import-file.ts";
import { SeenRecords } from "./seen-records.ts";
import { Staging } from "./staging.ts";
import type { StagingProgress } from "./staging.ts";

const REJECTED_TEXT_MAX = 64 * 1024;
const REJECTIONS_LISTED_MAX = 1_000;

type Counts = Record<string, { accepted: number; duplicates: number; rejected: number }>;

/** StagedImport: one import under way, written as segments and committed at its end. */
export class StagedImport {
  readonly #parts: FileImporterParts;
  readonly #scope: Scope;
  readonly #facts: FileFacts;
  readonly #options: ImportOptions;
  readonly #staging: Staging;
  readonly #seen = new SeenRecords();
  readonly #segments: SegmentRow[] = [];
  readonly #counts: Counts = {};
  readonly #rejected: CommitRecord[] = [];
  readonly #rejections: { at: string; reason: string }[] = [];
  #drafts: DraftEntry[] = [];
  #draftBytes = 0;
  #rows = 0;
  #sequence = 0;
  #tool: { name: string; version?: string } | undefined;

  constructor(parts: FileImporterParts, scope: Scope, facts: FileFacts, options: ImportOptions) {
    this.#parts = parts;
    this.#scope = scope;
    this.#facts = facts;
    this.#options = options;
    this.#staging = new Staging(parts.store, scope, {
      key: facts.importKey,
      types: (name) => parts.registry.require(name),
    });
  }

  /** Reads, stages and commits; `undefined` when other writers changed the same records meanwhile. */
  async run(open: () => AsyncIterable<Uint8Array>): Promise<ImportReport | undefined> {
    await this.#resume();
    await this.#stage(open);
    await this.#stageSourceFile();
    await this.#closeSegment();
    return this.#commit();
  }

  /** Removes everything that was staged. */
  async abandon(): Promise<void> {
    await this.#parts.lines.abandon(this.#scope, this.#segments);
    await this.#staging.clear(this.#segments.length);
  }

  /** Takes up an earlier, interrupted run when all its segments are still there. */
  async #resume(): Promise<void> {
    const { store, runtime } = this.#parts;
    const progress = await this.#staging.progress();
    this.#sequence = (await store.head(this.#scope))?.sequence ?? 0;
    if (progress === undefined) return;
    const staged = [];
    for (let number = 0; number < progress.segments; number += 1)
      staged.push(await this.#staging.segment(number));
    const ids = staged.map(({ segment }) => segment.segmentId);
    const isWhole = await store.renewIntents(this.#scope, ids, runtime.clock() + INTENT_LEASE_MS);
    if (!isWhole) {
      await this.#staging.clear(progress.segments);
      return;
    }
    for (const { segment, entries } of staged) {
      this.#segments.push(segment);
      for (const { facts } of entries) this.#remember(facts);
    }
    this.#rows = progress.rows;
    this.#sequence = progress.sequence;
    Object.assign(this.#counts, progress.types);
    this.#rejections.push(...progress.rejections);
    if (progress.tool !== undefined) {
      this.#tool = {
        name: progress.tool,
        ...(progress.toolVersion === undefined ? {} : { version: progress.toolVersion }),
      };
    }
  }

  #remember(facts: Pick<DraftEntry, "type" | "ids" | "contentHashes">): void {
    for (const [index, id] of facts.ids.entries()) {
      this.#seen.meet(
        facts.type.name,
        id,
        facts.contentHashes.subarray(index * 16, index * 16 + 16),
      );
    }
  }

  async #stage(open: () => AsyncIterable<Uint8Array>): Promise<void> {
    const { reading, runtime, staging } = this.#parts;
    const { signal, onProgress } = this.#options;
    let bytesRead = 0;
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of open()) {
        bytesRead += chunk.byteLength;
        yield chunk;
      }
    };
    const isLenient = this.#options.isLenient ?? false;
    await using source = await reading.open(counted(), { name: this.#facts.name, isLenient });
    const context = {
      isLenient,
      labels: this.#options.labels ?? {},
      sha256: this.#facts.sha256,
      importedAt: runtime.clock(),
    };
    let row = 0;
    let pending: ImportRow[] = [];
    for await (const one of this.#facts.importer.read(source, context)) {
      signal?.throwIfAborted();
      row += 1;
      if (row <= this.#rows) continue;
      pending.push(one);
      if (pending.length < staging.rowsPerStep) continue;
      await this.#stageRows(pending, row);
      pending = [];
      onProgress?.({ phase: "reading", bytesRead, rows: row });
    }
    await this.#stageRows(pending, row);
    onProgress?.({ phase: "committing", bytesRead, rows: row });
  }

  async #stageRows(rows: readonly ImportRow[], rowNumber: number): Promise<void> {
    const byType = new Map<string, CommitRecord[]>();
    for (const row of rows) {
      if (row.kind === "tool") this.#tool = row;
      else if (row.kind === "record") {
        const list = byType.get(row.type);
        const record = { fields: row.fields, place: row.at };
        if (list === undefined) byType.set(row.type, [record]);
        else list.push(record);
      } else this.#keepRejected("", row);
    }
    for (const [type, put] of byType) await this.#stagePart({ type, put });
    const rejected = this.#rejected.splice(0);
    if (rejected.length > 0) await this.#stagePart({ type: rejectedInputs.name, put: rejected });
    this.#rows = rowNumber;
    if (this.#draftBytes >= this.#parts.staging.segmentBytes) await this.#closeSegment();
  }

  /** Counts a row that could not become a record, and keeps it with its reason. */
  #keepRejected(
    type: string,
    row: { readonly at: string; readonly reason: string; readonly text: string },
  ): void {
    const { at, reason, text } = row;
    this.#reject(type, at, reason);
    const fields = {
      sha256: this.#facts.sha256,
      name: this.#facts.name,
      at,
      reason,
      text: text.slice(0, REJECTED_TEXT_MAX).toWellFormed(),
      rejected_at: new Date(this.#parts.runtime.clock()).toISOString(),
    };
    this.#rejected.push({ place: at, fields });
  }

  async #stagePart(part: CommitPart): Promise<void> {
    const { decider, keys } = this.#parts;
    const onBad = this.#options.isLenient === true ? "reject" : "refuse";
    const hashKey = await keys.hashKey(this.#scope.tenant);
    const prepared = this.#importError(() =>
      decider.prepare(this.#scope, part, { onBad }, hashKey),
    );
    const type = prepared.type;
    const isAppend = type.declaration.mode === "append";
    const counts = (this.#counts[type.name] ??= { accepted: 0, duplicates: 0, rejected: 0 });
    const fresh = [];
    for (const record of prepared.records) {
      const met = this.#seen.meet(type.name, record.id, record.contentHash);
      if (met === "same") counts.duplicates += 1;
      else if (met === "changed" && isAppend) this.#refuseChanged(type.name, record);
      else fresh.push(record);
    }
    const { corrects } = this.#facts;
    const decision = await decider.decide(this.#scope, [{ ...prepared, records: fresh }], {
      onBad,
      ...(corrects === undefined ? {} : { corrects }),
    });
    for (const { place, index, reason } of decision.rejections) {
      const text = stringifyJson(part.put?.[index]?.fields);
      this.#keepRejected(type.name, { at: place ?? `record ${index}`, reason, text });
    }
    counts.duplicates += decision.duplicates[type.name] ?? 0;
    for (const draft of decision.drafts) {
      counts.accepted += draft.ids.length;
      this.#drafts.push(draft);
      this.#draftBytes += draft.lines.offsets.at(-1) ?? 0;
    }
  }

  #refuseChanged(type: string, record: Pick<HashedRecord, "id" | "place" | "bytes">): void {
    const reason = `${type} ${record.id} comes twice with different content, and records of this type never change`;
    if (this.#options.isLenient !== true)
      throw new ImportError("malformed", reason, { at: record.place ?? record.id });
    const at = record.place ?? record.id;
    const text = Buffer.from(record.bytes).toString("utf8");
    this.#keepRejected(type, { at, reason, text });
  }

  #reject(type: string, at: string, reason: string): void {
    if (type !== "")
      (this.#counts[type] ??= { accepted: 0, duplicates: 0, rejected: 0 }).rejected += 1;
    if (this.#rejections.length < REJECTIONS_LISTED_MAX) this.#rejections.push({ at, reason });
  }

  /** A row that is no valid record makes the file malformed, at the row's place. */
  #importError<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (cause) {
      if (!(cause instanceof CoreError)) throw cause;
      const at = cause.at === undefined ? {} : { at: cause.at };
      throw new ImportError("malformed", cause.message, { cause, ...at });
    }
  }

  /** The file itself becomes a record, so that every record of it can be traced to it. */
  async #stageSourceFile(): Promise<void> {
    const { name, sha256, bytes, importer, blobKey } = this.#facts;
    const records = Object.fromEntries(
      Object.entries(this.#counts).map(([type, { accepted }]) => [type, accepted]),
    );
    await this.#stagePart({
      type: sourceFiles.name,
      put: [
        {
          fields: {
            sha256,
            name,
            bytes,
            format: importer.name,
            importer: importer.name,
            mapping_version: importer.version,
            ...(this.#tool === undefined ? {} : { tool: this.#tool.name }),
            ...(this.#tool?.version === undefined ? {} : { tool_version: this.#tool.version }),
            imported_at: new Date(this.#parts.runtime.clock()).toISOString(),
            records,
            blob: blobKey,
          },
        },
      ],
    });
    delete this.#counts[sourceFiles.name];
  }

  async #closeSegment(): Promise<void> {
    if (this.#drafts.length === 0) return;
    const drafts = this.#drafts;
    this.#drafts = [];
    this.#draftBytes = 0;
    const segment = await this.#parts.lines.writeSegment(this.#scope, drafts);
    this.#segments.push(segment);
    await this.#staging.save(this.#segments.length - 1, {
      segment,
      drafts,
      progress: this.#progress(),
    });
    const ids = this.#segments.map(({ segmentId }) => segmentId);
    await this.#parts.store.renewIntents(
      this.#scope,
      ids,
      this.#parts.runtime.clock() + INTENT_LEASE_MS,
    );
  }

  #progress(): StagingProgress {
    return {
      rows: this.#rows,
      segments: this.#segments.length,
      sequence: this.#sequence,
      types: this.#counts,
      rejections: this.#rejections,
      ...(this.#tool === undefined ? {} : { tool: this.#tool.name }),
      ...(this.#tool?.version === undefined ? {} : { toolVersion: this.#tool.version }),
    };
  }

  async #commit(): Promise<ImportReport | undefined> {
    const { journal, runtime } = this.#parts;
    const outcome = await journal.submit(this.#scope, {
      commit: uuidV7(runtime.clock(), runtime.random(10)),
      steps: this.#steps(),
      isLarge: true,
      source: await this.#source(),
      idempotency: { kind: "import", key: this.#facts.importKey },
      ...(this.#facts.corrects === undefined ? {} : { supersedes: this.#facts.corrects }),
      duplicates: countsOf(this.#counts, "duplicates"),
      rejected: countsOf(this.#counts, "rejected"),
      tables: undefined,
      recheck: (transaction, head) => this.#recheck(transaction, head),
    });
    if (outcome.kind === "stale") {
      await this.abandon();
      return undefined;
    }
    // Another run of the same import came first; what this one staged is in no entry.
    if (outcome.kind === "replayed") await this.#parts.lines.abandon(this.#scope, this.#segments);
    await this.#staging.clear(this.#segments.length);
    journal.announce(this.#scope, outcome.receipt);
    const { name: format } = this.#facts.importer;
    const { sha256, bytes } = this.#facts;
    return {
      format,
      sha256,
      bytes,
      ...(this.#tool === undefined ? {} : { tool: this.#tool.name }),
      ...(this.#tool?.version === undefined ? {} : { toolVersion: this.#tool.version }),
      types: this.#counts,
      receipts: [outcome.receipt],
      isReplay: outcome.kind === "replayed",
      rejections: this.#rejections,
    };
  }

  async *#steps(): AsyncGenerator<PlacedStep> {
    for (let number = 0; number < this.#segments.length; number += 1) {
      const { segment, entries } = await this.#staging.segment(number);
      const { segmentId } = segment;
      yield {
        segments: [segment],
        entries: entries.map(({ facts, firstLine }) => ({
          facts,
          location: { kind: "segment", segmentId, firstLine },
        })),
      };
    }
  }

  async #source(): Promise<EntrySource> {
    const { keys } = this.#parts;
    const { importer, sha256 } = this.#facts;
    const hashKey = await keys.hashKey(this.#scope.tenant);
    return {
      importer: importer.name,
      mappingVersion: importer.version,
      fileHash: Buffer.from(keyedHash(hashKey, "file", sha256)).toString("hex"),
      ...(this.#tool === undefined ? {} : { tool: this.#tool.name }),
      ...(this.#tool?.version === undefined ? {} : { toolVersion: this.#tool.version }),
    };
  }

  /** Under the lock: was it committed already, or has anybody committed one of these ids since staging began? */
  async #recheck(
    transaction: JournalTransaction,
    head: JournalHead | undefined,
  ): Promise<"holds" | "stale" | Receipt> {
    const earlier = await transaction.receipt("import", this.#facts.importKey);
    if (earlier !== undefined) return { ...(JSON.parse(earlier) as Receipt), isReplay: true };
    if ((head?.sequence ?? 0) === this.#sequence) return "holds";
    for await (const { entries } of this.#steps()) {
      for (const { facts } of entries) {
        const positions = await transaction.lookup(facts.type.name, facts.ids);
        if (positions.some((position) => (position?.sequence ?? 0) > this.#sequence))
          return "stale";
      }
    }
    return "holds";
  }
}

/** One of the counts by type, where there is any. */
function countsOf(counts: Counts, name: "duplicates" | "rejected"): Record<string, number> {
  const some = Object.entries(counts).filter(([, count]) => count[name] > 0);
  return Object.fromEntries(some.map(([type, count]) => [type, count[name]]));
}
