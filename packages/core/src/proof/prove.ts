import type { IdPosition, JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import { CoreError } from "../errors.ts";
import type { JournalReader } from "../journal/journal-reader.ts";
import type { LineStore } from "../journal/line-store.ts";
import { restoreEntries } from "../journal/timelines.ts";
import { encodeEntry } from "../journal/format/entry.ts";
import { inclusionProof, leafHashes } from "../journal/format/merkle.ts";
import { decodeTreeHead } from "../journal/format/tree-head.ts";
import { inclusionProofFromNodes } from "../journal/format/tree-frontier.ts";
import type { KeyService } from "../keys/key-service.ts";
import { buildProofBundle } from "../verify/proof-bundle.ts";
import type { ProofBundle } from "../verify/proof-bundle.ts";

export interface ProveParts {
  readonly journal: JournalStore;
  readonly reader: JournalReader;
  readonly lines: LineStore;
  readonly keys: KeyService;
}

/** Proves that the line at a position is in the journal, up to the latest signed head. */
export async function proveLine(
  parts: ProveParts,
  scope: Scope,
  position: IdPosition,
): Promise<ProofBundle> {
  const { journal, reader, lines, keys } = parts;
  const entry = await reader.entry(scope, position.sequence);
  const line = await lines.readLine(scope, entry, position.ordinal);
  const hashes = leafHashes(await lines.readLines(scope, entry));
  const stored = await journal.treeHead(scope);
  if (stored === undefined)
    throw new CoreError("damaged", `tenant ${scope.tenant} has no signed tree head`);
  const treeHead = decodeTreeHead(stored);
  const pathOf = (sequence: number): Promise<readonly Uint8Array[]> =>
    inclusionProofFromNodes(treeHead.size, sequence - 1, (nodes) =>
      journal.treeNodes(scope, nodes),
    );
  const restores = [];
  for (const restore of await restoreEntries(journal, scope)) {
    if (restore.sequence > treeHead.size) continue;
    restores.push({ entry: encodeEntry(restore), entryPath: await pathOf(restore.sequence) });
  }
  const { publicKey } = await keys.signer(scope.tenant);
  return buildProofBundle({
    line,
    leafIndex: position.ordinal,
    linePath: inclusionProof(hashes, position.ordinal),
    entry: entry.bytes,
    entryPath: await pathOf(entry.sequence),
    treeHead,
    publicKey,
    restores,
  });
}
