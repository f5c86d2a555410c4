import { parseJson } from "@custody/contract/json";
import type { GraphPlacement } from "@custody/contract/placement";
import type { SummaryDeclaration } from "@custody/contract/summary";
import { hashText, rowHash } from "@custody/stores/content-form";
import { requireSameStart } from "@custody/stores/delivery-start";
import { StoreError } from "@custody/stores/errors";
import { edgeContent, nodeContent } from "@custody/stores/graph/content";
import { foldChanges, newChanges } from "@custody/stores/graph/delivery-changes";
import { GraphFold, propertiesOf } from "@custody/stores/graph/graph-fold";
import type { Collection, RowDigest } from "@custody/stores/projected-store";
import { recordText } from "@custody/stores/record-batch";
import type { Delivery, RecordBatch } from "@custody/stores/record-batch";
import { foldBatch, lackingGroup } from "@custody/stores/relational/summary-delivery";
import { compileSummary, mergeGroup, SummaryFold } from "@custody/stores/relational/summary-fold";
import type { GroupState, SummaryFolding } from "@custody/stores/relational/summary-fold";
import type { TablePlacement } from "@custody/stores/relational/port";
import type { ProjectedRole } from "@custody/core/stores";

import { compileRowContent } from "./row-content.ts";
import type { RowContent } from "./row-content.ts";

/** A record as a store keeps it; without text it was deleted. */
export interface StoredRecord {
  readonly sequence: number;
  readonly text: string | undefined;
  readonly observedAt: number;
}

/** What a collection holds, and how deliveries change it. */
export interface CollectionContent {
  readonly isRowPerRecord: boolean;
  /** Records by id, where there is a row for each. */
  readonly records: Map<string, StoredRecord>;
  /**
   * Writes what lies above the checkpoint, all or nothing; of a store that writes in bulk only the first `recordsMax` records.
   *
   * @throws StoreError `conflict`, `corrupt`.
   */
  apply(delivery: Delivery, checkpoint: number, recordsMax?: number): void;
  /** @throws StoreError `unsupported` where rows are shared by records. */
  repair(batch: RecordBatch): void;
  rows(): readonly RowDigest[];
  /** A copy that shares nothing that changes. */
  copy(): CollectionContent;
}

/** The content that a collection of a role begins with. */
export function emptyContent(
  role: ProjectedRole,
  collection: Collection<unknown>,
): CollectionContent {
  const [placement] = Object.values(collection.placements);
  if (role === "graph") return new GraphRows(collection as Collection<GraphPlacement>);
  if (role === "relational" && "summary" in (placement as TablePlacement))
    return new SummaryRows(collection as Collection<TablePlacement>);
  return new RecordRows(compileRowContent(role, placement));
}

class RecordRows implements CollectionContent {
  readonly isRowPerRecord = true;
  readonly records: Map<string, StoredRecord>;
  readonly #content: RowContent;
  /** Rows by record: a record that changes is another object. */
  readonly #digests = new WeakMap<StoredRecord, readonly RowDigest[]>();

  constructor(content: RowContent, records: Map<string, StoredRecord> = new Map()) {
    this.#content = content;
    this.records = records;
  }

  apply({ batches }: Delivery, checkpoint: number, recordsMax = Number.POSITIVE_INFINITY): void {
    let written = 0;
    for (const batch of batches) {
      for (const [index, sequence] of batch.sequences.entries()) {
        if (sequence <= checkpoint || written >= recordsMax) continue;
        written += 1;
        const known = this.records.get(batch.ids[index] ?? "");
        if (known === undefined || known.sequence <= sequence) this.#put(batch, index);
      }
    }
  }

  repair(batch: RecordBatch): void {
    for (const [index, id] of batch.ids.entries()) {
      if (batch.removed[index] === 1) this.records.delete(id);
      else this.#put(batch, index);
    }
  }

  rows(): readonly RowDigest[] {
    return [...this.records].flatMap(([id, record]) => {
      const known = this.#digests.get(record) ?? this.#digestOf(id, record);
      this.#digests.set(record, known);
      return known;
    });
  }

  copy(): CollectionContent {
    return new RecordRows(this.#content, new Map(this.records));
  }

  #digestOf(id: string, { sequence, text, observedAt }: StoredRecord): readonly RowDigest[] {
    if (text === undefined) return [];
    const content = this.#content({ id, fields: parseJson(text), observedAt });
    if (content === undefined) return [];
    return [{ id, sequence, hash: hashText(rowHash(id, sequence, content)) }];
  }

  #put(batch: RecordBatch, index: number): void {
    const isRemoved = batch.removed[index] === 1;
    this.records.set(batch.ids[index] ?? "", {
      sequence: batch.sequences[index] ?? 0,
      text: isRemoved ? undefined : Buffer.from(recordText(batch, index)).toString("utf8"),
      observedAt: batch.observedAt[index] ?? Number.NaN,
    });
  }
}

/** Folds cannot be copied, so a copy is made by telling every delivery again. */
interface Told {
  readonly delivery: Delivery;
  readonly checkpoint: number;
}

abstract class FoldedRows implements CollectionContent {
  readonly isRowPerRecord = false;
  readonly records: Map<string, StoredRecord> = new Map();
  readonly #told: Told[] = [];

  apply(delivery: Delivery, checkpoint: number): void {
    this.fold(delivery, checkpoint);
    this.#told.push({ delivery, checkpoint });
  }

  repair(): void {
    throw new StoreError("unsupported", "rows are made of many records: rebuild");
  }

  rows(): readonly RowDigest[] {
    return [...this.contents()].map(({ id, content }) => {
      return { id, sequence: 0, hash: hashText(rowHash(id, 0, content)) };
    });
  }

  copy(): CollectionContent {
    const copy = this.empty();
    for (const { delivery, checkpoint } of this.#told) copy.apply(delivery, checkpoint);
    return copy;
  }

  protected abstract fold(delivery: Delivery, checkpoint: number): void;
  protected abstract contents(): Iterable<{ readonly id: string; readonly content: string }>;
  protected abstract empty(): FoldedRows;
}

class SummaryRows extends FoldedRows {
  readonly #collection: Collection<TablePlacement>;
  readonly #summary: SummaryDeclaration;
  readonly #folding: SummaryFolding;
  readonly #groups = new Map<string, GroupState>();

  constructor(collection: Collection<TablePlacement>) {
    super();
    const [placement] = Object.values(collection.placements);
    if (placement === undefined || !("summary" in placement)) throw new Error("no summary");
    this.#collection = collection;
    this.#summary = placement.summary;
    this.#folding = compileSummary(placement.summary);
  }

  protected fold(delivery: Delivery, checkpoint: number): void {
    requireSameStart(this.#collection, delivery, checkpoint);
    if (delivery.checkpoint <= checkpoint) return;
    const change = new SummaryFold(this.#summary);
    for (const batch of delivery.batches) foldBatch(change, batch, checkpoint);
    const changes = [...change.groups()].map(
      (group) => [this.#folding.name(group), group] as const,
    );
    for (const [name, group] of changes) {
      if ((this.#groups.get(name)?.records ?? 0) + group.records < 0) throw lackingGroup();
    }
    for (const [name, group] of changes) {
      const own = this.#groups.get(name) ?? this.#folding.empty(group.key);
      mergeGroup(own, group);
      if (own.records === 0) this.#groups.delete(name);
      else this.#groups.set(name, own);
    }
  }

  protected *contents(): Iterable<{ readonly id: string; readonly content: string }> {
    for (const [id, group] of this.#groups) yield { id, content: this.#folding.content(group) };
  }

  protected empty(): FoldedRows {
    return new SummaryRows(this.#collection);
  }
}

class GraphRows extends FoldedRows {
  readonly #collection: Collection<GraphPlacement>;
  readonly #fold = new GraphFold();

  constructor(collection: Collection<GraphPlacement>) {
    super();
    this.#collection = collection;
  }

  protected fold(delivery: Delivery, checkpoint: number): void {
    const { placements, isAppendOnly = false } = this.#collection;
    const changes = newChanges({ placements, delivery, isAppendOnly, checkpoint });
    if (changes !== undefined) foldChanges(this.#fold, changes);
  }

  protected *contents(): Iterable<{ readonly id: string; readonly content: string }> {
    for (const nodes of this.#fold.nodes.values()) {
      for (const node of nodes.values())
        if (node.records !== 0) yield nodeContent(node, node.records, propertiesOf(node.said));
    }
    for (const edge of this.#fold.edges.values())
      if (edge.records !== 0) yield edgeContent(edge, edge.records);
  }

  protected empty(): FoldedRows {
    return new GraphRows(this.#collection);
  }
}
