import { hash } from "node:crypto";

import type { SearchPlacement } from "@custody/contract/placement";

import { onlyPlacement } from "../collections.ts";
import { StoreError } from "../errors.ts";
import type { Collection } from "../projected-store.ts";
import { compileSearch } from "./content.ts";
import type { SearchMapping } from "./content.ts";

/**
 * How a collection lies in the cluster: an index of its own, written and read by an alias, so that no
 * write can make an index that nobody prepared (`require_alias`).
 *
 * A row is a document: `id`, `s` (its sequence), `b` (about how large it is), `t0`, `t1`, … (its texts),
 * and for each filter `f0` (its values as they are compared), `n0` (how many, where there are several),
 * and `c`, all filter values as they were. A record that was deleted leaves `s` and `gone`, so that
 * an older version of it cannot come back; `settle` removes that. One more document is the checkpoint.
 */
export interface OpensearchCollection {
  readonly name: string;
  readonly generation: number;
  readonly type: string;
  /** What a prepared collection of another mapping differs in. */
  readonly mappingKey: string;
  readonly mapping: SearchMapping;
  readonly alias: string;
  readonly index: string;
}

/** The analyzer that cuts and folds words, and the one that takes words as they are. */
export const WORDS_ANALYZER = "words";
export const FOLDED_ANALYZER = "folded";

/** UTF-16 units that count of a word: Lucene looks for beginnings of at most about 1,000 bytes. */
export const WORD_LENGTH_MAX = 256;

// Letters, digits and characters of private use make words, with the marks behind them: FTS5's rule.
const WORD = "[\\p{L}\\p{N}\\p{Co}][\\p{L}\\p{N}\\p{Co}\\u0300-\\u036f]*";
/** A word, as the analyzer cuts it. */
export const WORD_PATTERN: RegExp = new RegExp(WORD, "gu");

// No record's document has this mark: ids that begin so are hashed.
const MARK = "\u{10FFFF}";
const CHECKPOINT_ID = `${MARK}checkpoint`;
// An id of a document has at most 512 bytes; a record's may have 512 UTF-16 units.
const DOCUMENT_ID_BYTES_MAX = 512;
const SLUG_MAX = 60;

/** Names a collection's index and compiles its placement. @throws StoreError `refused`. */
export function describeIndex(
  collection: Collection<SearchPlacement>,
  { prefix, space }: { readonly prefix: string; readonly space: string },
): OpensearchCollection {
  const { name, generation } = collection;
  const [type, placement] = onlyPlacement(collection);
  const mapping = compileSearch(placement);
  // Neither a tenant nor a slug holds a dot.
  const alias = `${prefix}.${space}.${slugOf(name)}.g${generation}`;
  return {
    name,
    generation,
    type,
    mappingKey: hash("sha256", JSON.stringify([type, placement]), "hex").slice(0, 32),
    mapping,
    alias,
    index: `${alias}.rows`,
  };
}

/** Meets the indices of a space, and no other's. */
export function indexPattern(prefix: string, space: string): string {
  return `${prefix}.${space}.*.rows`;
}

/** The document of a record. */
export function documentId(id: string): string {
  const isPlain = !id.startsWith(MARK) && Buffer.byteLength(id) <= DOCUMENT_ID_BYTES_MAX;
  return isPlain ? id : `${MARK}${hash("sha256", id, "hex")}`;
}

/** The document that says how far the collection is written. */
export function checkpointId(): string {
  return CHECKPOINT_ID;
}

function slugOf(name: string): string {
  const slug = name.replace("/", "__").replaceAll(/[^a-z0-9_-]/g, "_");
  const isExact = /^[a-z0-9-]+(?:_[a-z0-9-]+)*\/[a-z0-9-]+(?:_[a-z0-9-]+)*$/.test(name);
  if (isExact && slug.length <= SLUG_MAX) return slug;
  return `${slug.slice(0, SLUG_MAX - 17)}-${hash("sha256", name, "hex").slice(0, 16)}`;
}

/** What an index is made with. @throws StoreError `refused` for a placement without fields. */
export function indexDefinition(
  { name, generation, type, mappingKey, mapping, alias }: OpensearchCollection,
  replicas: number | undefined,
): object {
  const { fieldNames, filterNames, weights } = mapping;
  if (fieldNames.length === 0) throw new StoreError("refused", "a search needs a field to look in");
  if (weights.some((weight) => !Number.isFinite(weight) || weight < 0)) {
    throw new StoreError("refused", "a field's weight is a number of 0 or more");
  }
  const properties = propertiesOf(fieldNames.length, filterNames.length);
  const copies =
    replicas === undefined
      ? { auto_expand_replicas: "0-1" }
      : { auto_expand_replicas: false, number_of_replicas: replicas };
  return {
    aliases: { [alias]: {} },
    settings: {
      number_of_shards: 1,
      ...copies,
      // Rows are seen when their checkpoint is, which refreshes: not before, and no sooner than needed.
      refresh_interval: "-1",
      "mapping.total_fields.limit": Math.max(1_000, Object.keys(properties).length + 10),
      // How long the server itself remembers what was removed; far longer than a call takes.
      gc_deletes: "10m",
      "merge.policy.expunge_deletes_allowed": 0,
      "soft_deletes.retention.operations": 0,
      analysis: ANALYSIS,
    },
    mappings: {
      dynamic: "strict",
      _meta: { custody: { name, generation, type, mappingKey } },
      properties,
    },
  };
}

// Core filters only: folding by ICU is a plugin that managed clusters may lack.
const ANALYSIS = {
  tokenizer: {
    words: { type: "pattern", pattern: WORD, group: 0 },
    spaced: { type: "pattern", pattern: " " },
  },
  filter: {
    unmarked: { type: "pattern_replace", pattern: "[\\u0300-\\u036f]+", replacement: "" },
    cut: { type: "truncate", length: WORD_LENGTH_MAX },
  },
  analyzer: {
    [WORDS_ANALYZER]: {
      type: "custom",
      tokenizer: "words",
      filter: ["lowercase", "asciifolding", "unmarked", "cut"],
    },
    [FOLDED_ANALYZER]: { type: "custom", tokenizer: "spaced" },
  },
} as const;

function propertiesOf(fields: number, filters: number): Readonly<Record<string, object>> {
  const properties: Record<string, object> = {
    id: { type: "keyword", index: false },
    s: { type: "long" },
    b: { type: "long", index: false },
    c: { type: "keyword", index: false, doc_values: false },
    gone: { type: "boolean" },
    checkpoint: { type: "long", index: false },
    mappingKey: { type: "keyword", index: false, doc_values: false },
  };
  for (let n = 0; n < fields; n += 1) {
    properties[`t${n}`] = { type: "text", analyzer: WORDS_ANALYZER };
  }
  for (let n = 0; n < filters; n += 1) {
    properties[`f${n}`] = { type: "keyword" };
    properties[`n${n}`] = { type: "integer" };
  }
  return properties;
}
