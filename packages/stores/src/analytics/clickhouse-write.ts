import type { AnalyticsPlacement, ColumnType } from "@custody/contract/placement";
import type { ColumnValue } from "@custody/contract/value-expression";
import type { ClickHouseSettings } from "@clickhouse/client";

import { RowBinaryWriter } from "../drivers/clickhouse-rows.ts";
import { textLiteral } from "../drivers/clickhouse-text.ts";
import type { ClickhouseServer } from "../drivers/clickhouse.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { batchRecord } from "../record-batch.ts";
import type { Delivery, RecordBatch } from "../record-batch.ts";
import type { Scope } from "../scope.ts";
import type { LiveCollection } from "./clickhouse-catalogue.ts";
import { columnsOf, insertStatement, isList, ofBuild } from "./clickhouse-layout.ts";
import { storedInstant } from "./content.ts";
import type { AnalyticsColumn } from "./content.ts";

// A delivery within this size is one block, hence one part: all of it is there or nothing.
const BLOCK_BYTES_MAX = 64 * 1024 * 1024;
const BLOCK_ROWS_MAX = 10_000_000;

// One statement writes into one partition; as one block it is atomic
// (clickhouse.com/docs/guides/developer/transactional#case-1-insert-into-one-partition-of-one-table-of-the-mergetree-family).
const ONE_BLOCK: ClickHouseSettings = {
  max_insert_block_size: String(BLOCK_ROWS_MAX),
  min_insert_block_size_rows: String(BLOCK_ROWS_MAX),
  min_insert_block_size_bytes: String(2 * BLOCK_BYTES_MAX),
  input_format_parallel_parsing: 0,
  max_insert_threads: "1",
};

// Versions leave room below the next sequence for repairs, each of which must win over what is stored.
const REPAIRS = 1_024;

/** The id of the row that carries the checkpoint; it counts as deleted, so that no query meets it. */
const CHECKPOINT_ID = "";

/** What rows are written to. */
export interface WriteTarget {
  readonly server: ClickhouseServer;
  readonly collection: Collection<AnalyticsPlacement>;
  readonly live: LiveCollection;
}

/** Reads the checkpoint that the rows themselves carry. */
export async function readCheckpoint(
  server: ClickhouseServer,
  scope: Scope,
  live: LiveCollection,
): Promise<number> {
  const { rows } = await server.select(scope, {
    doing: `read the checkpoint of ${live.name}`,
    sql: `SELECT max(_sequence) FROM ${live.table.sqlName}
      WHERE ${ofBuild(live)} AND _id = ${textLiteral(CHECKPOINT_ID)}`,
  });
  return Number(rows[0]?.[0] ?? 0);
}

/** Refuses batches of types that the collection does not hold. */
export function checkTypes(
  collection: Collection<AnalyticsPlacement>,
  batches: readonly RecordBatch[],
): void {
  for (const { type } of batches) {
    if (Object.hasOwn(collection.placements, type)) continue;
    throw new StoreError("refused", `${collection.name} holds no records of ${type}`);
  }
}

/** Writes the records above the stored checkpoint, and the new checkpoint with the last of them. */
export async function writeDelivery(
  target: WriteTarget,
  scope: Scope,
  delivery: Delivery & { readonly stored: number },
): Promise<void> {
  const { stored, batches, checkpoint } = delivery;
  if (checkpoint <= stored) return;
  const rows = new RowWriter(target);
  for (const batch of batches) {
    for (let index = 0; index < batch.ids.length; index += 1) {
      const sequence = batch.sequences[index] ?? 0;
      if (sequence <= stored) continue;
      if (rows.isFull) await rows.send(scope);
      rows.add(batch, index, sequence * REPAIRS);
    }
  }
  rows.addCheckpoint(checkpoint);
  await rows.send(scope);
}

const IDS_PER_QUESTION = 2_000;

/** Writes rows in versions above those that are stored. */
export async function writeRepair(
  target: WriteTarget,
  scope: Scope,
  batch: RecordBatch,
): Promise<void> {
  const { server, live } = target;
  const versions = new Map<string, number>();
  for (let start = 0; start < batch.ids.length; start += IDS_PER_QUESTION) {
    const ids = batch.ids.slice(start, start + IDS_PER_QUESTION).map(textLiteral);
    const sql = `SELECT _id, max(_custody_version) FROM ${live.table.sqlName}
      WHERE ${ofBuild(live)} AND _id IN (${ids.join(", ")}) GROUP BY _id`;
    const doing = `repair ${live.name}`;
    const { rows } = await server.select(scope, { doing, sql, settings: lengthSettings(sql) });
    for (const [id, version] of rows) versions.set(String(id), Number(version));
  }
  const rows = new RowWriter(target);
  for (const [index, id] of batch.ids.entries()) {
    const lowest = (batch.sequences[index] ?? 0) * REPAIRS;
    const stored = versions.get(id);
    if (rows.isFull) await rows.send(scope);
    rows.add(batch, index, stored === undefined ? lowest : Math.max(lowest, stored) + 1);
  }
  await rows.send(scope);
}

// Below this a statement is within the server's own limits (256 KiB, 50,000 elements).
const SHORT_BYTES_MAX = 32 * 1024;

/** Lets a statement of our own be as long as its lists of values make it. */
export function lengthSettings(sql: string): ClickHouseSettings {
  if (sql.length <= SHORT_BYTES_MAX) return {};
  return {
    max_query_size: String(64 * 1024 * 1024),
    max_ast_elements: "10000000",
    max_expanded_ast_elements: "10000000",
  };
}

class RowWriter {
  readonly #target: WriteTarget;
  readonly #columns: readonly AnalyticsColumn[];
  readonly #lists: readonly number[];
  readonly #writer = new RowBinaryWriter();
  #count = 0;

  constructor(target: WriteTarget) {
    this.#target = target;
    this.#columns = columnsOf(target.collection);
    this.#lists = this.#columns.flatMap(({ type }, slot) => (isList(type) ? [slot] : []));
  }

  get isFull(): boolean {
    return this.#writer.bytes >= BLOCK_BYTES_MAX || this.#count >= BLOCK_ROWS_MAX;
  }

  add(batch: RecordBatch, index: number, version: number): void {
    const isDeleted = batch.removed[index] === 1;
    const sequence = batch.sequences[index] ?? 0;
    this.#head({ id: batch.ids[index] ?? "", version, isDeleted, sequence });
    if (isDeleted) return this.#empty();
    const fields = batchRecord(batch, index);
    this.#instant(storedInstant(batch.observedAt[index] ?? Number.NaN));
    const values = this.#columns.map(({ take }) => take(fields));
    const absent = this.#lists.filter((slot) => values[slot] === null);
    this.#writer.length(absent.length);
    for (const slot of absent) this.#writer.uint16(slot);
    for (const [slot, { type }] of this.#columns.entries()) {
      writeValue(this.#writer, type, values[slot] ?? null);
    }
  }

  addCheckpoint(checkpoint: number): void {
    const version = checkpoint * REPAIRS;
    this.#head({ id: CHECKPOINT_ID, version, isDeleted: true, sequence: checkpoint });
    this.#empty();
  }

  async send(scope: Scope): Promise<void> {
    if (this.#count === 0) return;
    this.#count = 0;
    const { server, live } = this.#target;
    const doing = `write ${live.name}`;
    const call = { doing, sql: insertStatement(live.table), settings: ONE_BLOCK };
    await server.insert(scope, call, this.#writer.take());
  }

  #head(row: { id: string; version: number; isDeleted: boolean; sequence: number }): void {
    const { space, build } = this.#target.live;
    this.#count += 1;
    this.#writer.text(space);
    this.#writer.int64(build);
    this.#writer.text(row.id);
    this.#writer.int64(row.version);
    this.#writer.byte(row.isDeleted ? 1 : 0);
    this.#writer.int64(row.sequence);
  }

  /** A row without values. */
  #empty(): void {
    this.#instant(null);
    this.#writer.length(0);
    for (const { type } of this.#columns) writeValue(this.#writer, type, null);
  }

  #instant(value: number | null): void {
    writeValue(this.#writer, "timestamp", value);
  }
}

function writeValue(writer: RowBinaryWriter, type: ColumnType, value: ColumnValue): void {
  if (type === "text[]" || type === "vector") {
    const parts = Array.isArray(value) ? value : [];
    writer.length(parts.length);
    for (const part of parts) {
      if (type === "vector") writer.float(Number(part));
      else writer.text(String(part));
    }
    return;
  }
  writer.absent(value === null);
  if (value === null) return;
  switch (type) {
    case "text":
    case "json":
      return writer.text(String(value));
    case "integer":
    case "timestamp":
      return writer.int64(typeof value === "bigint" ? value : Number(value));
    case "real":
      return writer.double(Number(value));
    case "boolean":
      return writer.byte(value === true ? 1 : 0);
  }
}
