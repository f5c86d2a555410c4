import { canonicalJson } from "@custody/contract/json";
import type { Importer } from "@custody/contract/importer";
import { ImportError } from "@custody/contract/importer";
import type { Receipt } from "@custody/contract/receipt";
import { StoreError } from "@custody/stores/errors";
import type { JournalStore } from "@custody/stores/relational/journal";
import type { Scope } from "@custody/stores/scope";

import type { ImportOptions, ImportReport } from "../custody.ts";
import type { Admission } from "../journal/admission.ts";
import type { CommitDecider } from "../journal/decide-commit.ts";
import type { DiskRoom } from "../journal/disk-room.ts";
import type { Journal } from "../journal/journal.ts";
import type { LineStore } from "../journal/line-store.ts";
import { keyedHash } from "../keys/keyed-hash.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";
import { sourceFiles } from "../system-types.ts";
import { hashStream } from "./original-files.ts";
import type { OriginalFiles } from "./original-files.ts";
import type { SourceReading } from "./source-reading.ts";
import { StagedImport } from "./staged-import.ts";
import type { StagingLimits } from "./staging.ts";

export interface FileImporterParts {
  readonly registry: TypeRegistry;
  readonly journal: Journal;
  readonly decider: CommitDecider;
  readonly store: JournalStore;
  readonly lines: LineStore;
  readonly originals: OriginalFiles;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  readonly reading: SourceReading;
  readonly admission: Admission;
  readonly room: DiskRoom;
  readonly staging: StagingLimits;
}

/** What is known of a file before its rows are read. */
export interface FileFacts {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly importer: Importer;
  /** Where the original is kept. */
  readonly blobKey: string;
  /** Keyed hash of tenant, file, importer, mapping version and options: the same import again. */
  readonly importKey: string;
  /** The commit of an earlier import of this file by an older mapping: what differs now corrects it. */
  readonly corrects?: string;
}

const ATTEMPTS_MAX = 3;

/**
 * Imports one file as one commit: every row, or nothing.
 *
 * The file is read three times: to hash it, to keep it, and to read its rows. The same import again
 * is answered with the first report; one that was interrupted goes on where it was. Few are read at the
 * same time; others wait in line.
 *
 * @throws ImportError naming the place in the file; CoreError; StoreError.
 */
export function importFile(
  parts: FileImporterParts,
  scope: Scope,
  open: () => AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<ImportReport> {
  return parts.admission.inLine(() => importNow(parts, scope, open, options), options.signal);
}

async function importNow(
  parts: FileImporterParts,
  scope: Scope,
  open: () => AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<ImportReport> {
  const facts = await examine(parts, scope, open, options);
  const receipt = await parts.store.receipt(scope, "import", facts.importKey);
  if (receipt !== undefined) {
    const report = await parts.store.state(scope, reportName(facts));
    return asReplay(
      report === undefined ? reportOf(facts, receipt) : (JSON.parse(report) as ImportReport),
    );
  }
  await parts.room.require(facts.bytes);
  const isKept = await parts.originals.has(scope, facts.blobKey);
  if (!isKept) await parts.originals.put(scope, facts.blobKey, open());
  for (let attempt = 1; ; attempt += 1) {
    const staged = new StagedImport(parts, scope, facts, options);
    try {
      const report = await staged.run(open);
      if (report === undefined && attempt < ATTEMPTS_MAX) continue;
      if (report === undefined)
        throw new ImportError(
          "malformed",
          "other writers kept changing the same records; import again",
        );
      await parts.store.putState(scope, reportName(facts), JSON.stringify(report));
      await rememberMapping(parts.store, scope, facts, report);
      return report;
    } catch (cause) {
      // An interrupted import keeps what it staged; a failed one leaves nothing. Where a store was away the
      // import may be committed all the same: it is taken up, or answered, when it is asked for again.
      if (options.signal?.aborted === true || isPassing(cause)) throw cause;
      await staged.abandon();
      if (!isKept) await parts.originals.delete(scope, facts.blobKey);
      throw cause;
    }
  }
}

async function examine(
  parts: FileImporterParts,
  scope: Scope,
  open: () => AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<FileFacts> {
  const { reading, originals, keys } = parts;
  const { sha256, bytes } = await hashStream(open(), () => options.signal?.throwIfAborted());
  const importer = stoppedWhenLow(await chooseImporter(reading, open, options), parts.room);
  const hashKey = await keys.hashKey(scope.tenant);
  const identity = [
    sha256,
    importer.name,
    importer.version,
    options.isLenient ?? false,
    options.labels ?? {},
  ];
  const importKey = Buffer.from(keyedHash(hashKey, "file", canonicalJson(identity))).toString(
    "hex",
  );
  const blobKey = await originals.keyOf(scope, sha256);
  const earlier = await parts.store.state(scope, mappingName({ blobKey, importer: importer.name }));
  const known = earlier === undefined ? undefined : (JSON.parse(earlier) as ImportedMapping);
  const isNewer = known !== undefined && known.version < importer.version;
  const corrects = isNewer ? { corrects: known.commit } : {};
  return { name: options.name, sha256, bytes, importer, blobKey, importKey, ...corrects };
}

// Rows between two looks at the disk; a file may hold far more than its own bytes when it is compressed.
const ROWS_BETWEEN = 100;

/** An importer that reads no further while the disk is low; what it staged is kept and taken up again. */
function stoppedWhenLow(importer: Importer, room: DiskRoom): Importer {
  return {
    ...importer,
    async *read(source, context) {
      let rows = 0;
      for await (const row of importer.read(source, context)) {
        rows += 1;
        if (rows % ROWS_BETWEEN === 0) await room.requireNow();
        yield row;
      }
    },
  };
}

/** By which mapping a file was imported last. */
export interface ImportedMapping {
  readonly version: number;
  readonly commit: string;
}

async function rememberMapping(
  store: JournalStore,
  scope: Scope,
  facts: FileFacts,
  report: ImportReport,
): Promise<void> {
  const commit = report.receipts[0]?.commit;
  if (commit === undefined) return;
  const mapping: ImportedMapping = { version: facts.importer.version, commit };
  const { blobKey, importer } = facts;
  await store.putState(
    scope,
    mappingName({ blobKey, importer: importer.name }),
    JSON.stringify(mapping),
  );
}

/** What a file's mapping is kept by: where its original is, and the importer's name. */
interface MappedFile {
  readonly blobKey: string;
  readonly importer: string;
}

/** Under which name the journal's store keeps an {@link ImportedMapping}. */
export function mappingName({ blobKey, importer }: MappedFile): string {
  return `imported/${importer}/${blobKey}`;
}

async function chooseImporter(
  reading: SourceReading,
  open: () => AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<Importer> {
  if (options.format !== undefined) {
    const named = reading.importers.find(({ name }) => name === options.format);
    if (named !== undefined) return named;
    const known = reading.importers.map(({ name }) => name).join(", ");
    throw new ImportError(
      "unknown-format",
      `there is no importer ${options.format}; known: ${known}`,
    );
  }
  await using source = await reading.open(open(), {
    name: options.name,
    isLenient: options.isLenient ?? false,
  });
  return reading.detect(source.head, reading.importers);
}

function isPassing(cause: unknown): boolean {
  return cause instanceof StoreError && cause.retryable;
}

/** What can be told of an import that was committed and whose report was never written. */
function reportOf({ importer, sha256, bytes }: FileFacts, receipt: string): ImportReport {
  const { digest: _, ...rest } = JSON.parse(receipt) as Receipt & { readonly digest?: string };
  const types: Record<string, { accepted: number; duplicates: number; rejected: number }> = {};
  const counts = (type: string): { accepted: number; duplicates: number; rejected: number } =>
    (types[type] ??= { accepted: 0, duplicates: 0, rejected: 0 });
  for (const { type, accepted } of rest.entries) {
    if (type !== sourceFiles.name) counts(type).accepted += accepted;
  }
  for (const [type, count] of Object.entries(rest.duplicates)) counts(type).duplicates = count;
  for (const [type, count] of Object.entries(rest.rejected)) counts(type).rejected = count;
  return {
    format: importer.name,
    sha256,
    bytes,
    types,
    receipts: [rest],
    isReplay: true,
    rejections: [],
  };
}

function reportName(facts: FileFacts): string {
  return `import/${facts.importKey}`;
}

function asReplay(report: ImportReport): ImportReport {
  const types = Object.fromEntries(
    Object.entries(report.types).map(([type, { accepted, duplicates, rejected }]) => [
      type,
      { accepted: 0, duplicates: accepted + duplicates, rejected },
    ]),
  );
  const receipts: readonly Receipt[] = report.receipts.map((receipt) => ({
    ...receipt,
    isReplay: true,
  }));
  return { ...report, types, receipts, isReplay: true };
}
