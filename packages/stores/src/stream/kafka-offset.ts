import { KAFKA_PARTITIONS_MAX } from "../drivers/kafka-settings.ts";
import { StoreError } from "../errors.ts";

/**
 * How far each partition has been read, by its number: the offset of the next message. A partition
 * that is not named is at its beginning.
 */
export type KafkaOffset = readonly number[];

/**
 * Reads an offset of the stream: one number a partition, joined by dots; `0` is the beginning.
 *
 * @throws StoreError `refused` for what is none.
 */
export function parseKafkaOffset(text: string): KafkaOffset {
  const numbers = /^\d{1,16}(?:\.\d{1,16})*$/.test(text) ? text.split(".").map(Number) : [];
  const isOffset =
    numbers.length > 0 &&
    numbers.length <= KAFKA_PARTITIONS_MAX &&
    numbers.every((number) => Number.isSafeInteger(number));
  if (isOffset) return numbers;
  throw new StoreError("refused", `not an offset: ${JSON.stringify(text.slice(0, 40))}`);
}

/** The offset as text. */
export function formatKafkaOffset(offset: KafkaOffset): string {
  return offset.join(".");
}

/** The same for exactly that many partitions. */
export function overPartitions(offset: KafkaOffset, partitions: number): number[] {
  return Array.from({ length: partitions }, (_, partition) => offset[partition] ?? 0);
}
