import { canonicalJson } from "@custody/contract/json";
import type { DocumentPlacement } from "@custody/contract/placement";

/** The content form of a record in a document collection: all of its fields, as canonical JSON. */
export function documentContent(_placement: DocumentPlacement): (record: unknown) => string {
  // Indexes are no content: whatever the placement says, the whole record is kept.
  return canonicalJson;
}
