import type { Scope } from "@custody/stores/scope";

import type { CompiledType } from "../records/compiled-type.ts";
import type { DraftLine } from "./draft-entry.ts";
import type { DecodedLine } from "./format/line.ts";
import type { HashedRecord } from "./sort-records.ts";

/** Opens the sealed fields of a line: the JSON text of all fields, or without them when the subject's key is gone. */
export type FieldOpener = (scope: Scope, type: string, line: DecodedLine) => Promise<Uint8Array>;

/** Seals the personal fields of records; types without any pass through. */
export type FieldSealer = (
  scope: Scope,
  type: CompiledType,
  records: readonly HashedRecord[],
) => Promise<readonly DraftLine[]>;
