import type { Pack } from "@custody/contract/importer";
import type { Receipt } from "@custody/contract/receipt";
import type { Scope } from "@custody/stores/scope";

import { Answers } from "./cache/answers.ts";
import type { AnswerSettings } from "./cache/answers.ts";
import { requireRestored } from "./backup/restore-marker.ts";
import type { Custody } from "./custody.ts";
import { importFile } from "./import/import-file.ts";
import type { StagingLimits } from "./import/staging.ts";
import { OriginalFiles } from "./import/original-files.ts";
import type { SourceReading } from "./import/source-reading.ts";
import { Admission, ADMISSION_SETTINGS } from "./journal/admission.ts";
import type { AdmissionSettings } from "./journal/admission.ts";
import { CommitDecider } from "./journal/decide-commit.ts";
import { JournalReader } from "./journal/journal-reader.ts";
import { Journal } from "./journal/journal.ts";
import { LineStore } from "./journal/line-store.ts";
import { fieldOpener, fieldSealer } from "./journal/seal-records.ts";
import type { KeyService } from "./keys/key-service.ts";
import { AuditLog } from "./operations/audit.ts";
import { createBackupOperations } from "./operations/backup-operations.ts";
import type { InstallationIdentity } from "./operations/backup-operations.ts";
import { collect, compact } from "./operations/compact.ts";
import { createQuarantine } from "./operations/quarantine-operations.ts";
import { reportEngines } from "./operations/engines.ts";
import { reconcileRecorded } from "./operations/reconcile/recorded.ts";
import { describeTypes } from "./operations/describe-types.ts";
import { readStatus } from "./operations/status.ts";
import { requireRecord, trace } from "./operations/trace.ts";
import { DeliverySource } from "./projection/delivery-source.ts";
import type { DeliveryLimits } from "./projection/delivery-source.ts";
import { OwnerList } from "./projection/owner-list.ts";
import { tenantScope } from "./projection/owner-scope.ts";
import { ProjectionRunner } from "./projection/projection-runner.ts";
import type { Projection } from "./projection/projections.ts";
import { proveLine } from "./proof/prove.ts";
import { journalEvents } from "./query/journal-events.ts";
import type { JournalEventsParts } from "./query/journal-events.ts";
import { createExplanations } from "./query/explanations.ts";
import { createReads, Reads } from "./query/reads.ts";
import { Readiness } from "./query/readiness.ts";
import { acceptTypes } from "./records/type-changes.ts";
import { TypeRegistry } from "./records/type-registry.ts";
import type { Runtime } from "./runtime.ts";
import type { Stores } from "./stores.ts";
import { EventPublisher } from "./stream/event-publisher.ts";
import { createStreaming } from "./stream/streaming.ts";
import { verifyJournals } from "./verify/verify-journal.ts";
import { watchStores } from "./watched-stores.ts";
import type { WatchedStores } from "./watched-stores.ts";

/** What an installation is made of. */
export interface CustodyParts {
  readonly packs: readonly Pack[];
  readonly stores: Stores;
  readonly keys: KeyService;
  readonly runtime: Runtime;
  readonly reading: SourceReading;
  readonly settings: CustodySettings;
  /** What backups are made in the name of; without it none are made. */
  readonly identity?: InstallationIdentity;
  /** Told what people should know: a store that is waited for. */
  readonly onNotice?: (text: string) => void;
  /** Told after each delivery to a store. */
  readonly onProjected?: (applied: {
    readonly projection: Projection;
    readonly records: number;
  }) => void;
}

export interface CustodySettings {
  /** Whether what is written is encrypted. */
  readonly isSealed: boolean;
  /** Whether a read that names no point waits for the journal's present end. */
  readonly isHeadAwaited: boolean;
  /** Lets types lose fields. */
  readonly acceptLoss: boolean;
  /** Decoded records kept for projectors, in bytes. */
  readonly recentBytesMax: number;
  readonly delivery: DeliveryLimits;
  readonly staging: StagingLimits;
  /** Answers that are kept so that the same question need not be asked again. */
  readonly answers: AnswerSettings;
  /** From how many milliseconds on a read of a store is remembered as slow. */
  readonly slowMs: number;
  /** How much may wait to be made durable before writers are told to come again. */
  readonly admission: AdmissionSettings;
  /** Free bytes of a disk below which writes are refused; default by the disk's size. */
  readonly diskLowBytes?: number;
}

/** Defaults of {@link CustodySettings}, sized so that an installation stays within 512 MB. */
export const CUSTODY_SETTINGS: CustodySettings = {
  isSealed: true,
  isHeadAwaited: false,
  acceptLoss: false,
  recentBytesMax: 24 * 1024 * 1024,
  delivery: { recordsMax: 2_000, bytesMax: 8 * 1024 * 1024 },
  staging: { rowsPerStep: 2_000, segmentBytes: 16 * 1024 * 1024 },
  answers: {
    bytesMax: 8 * 1024 * 1024,
    answerBytesMax: 256 * 1024,
    ttlMs: 60_000,
    worthMs: 5,
  },
  slowMs: 500,
  admission: ADMISSION_SETTINGS,
};

/** Puts the parts together to the library's one object. */
export async function createCustody(parts: CustodyParts): Promise<Custody> {
  const { keys, runtime, settings } = parts;
  const watched = watchStores(parts);
  const { stores, healing, room } = watched;
  const registry = new TypeRegistry(parts.packs);
  const journalStore = await stores.journal();
  await requireRestored(journalStore);
  const blob = await stores.blob();
  const at = { journal: journalStore, registry };
  const { lines, reader, sealer } = journalReading(parts, { ...at, blob });
  const { isSealed } = settings;
  const source = new DeliverySource(journalStore, reader, settings.delivery, runtime.sleep);
  const { onProjected, onNotice } = parts;
  const owners = new OwnerList({ journal: journalStore, keys, runtime });
  const runner = new ProjectionRunner({
    registry,
    owners,
    stores,
    journal: journalStore,
    source,
    runtime,
    ...(onProjected === undefined ? {} : { onProgress: onProjected }),
    ...(onNotice === undefined ? {} : { onNotice }),
  });
  const { publisher, stream } = eventsOut(parts, { ...at, stores, reader });
  const onCommit = tellOf([runner, publisher]);
  const writing = { registry, store: journalStore, lines, reader, keys, sealer, runtime };
  const admission = new Admission(settings.admission, runtime.clock);
  const journal = new Journal({ ...writing, admission, room, onCommit });
  const collected = { journal: journalStore, blob, lines, reader, runtime, room };
  const accept = typeAcceptor(collected, registry, settings.acceptLoss);
  const context = {
    ...parts,
    ...watched,
    admission,
    answers: new Answers({ cache: stores.cache, keys, runtime, settings: settings.answers }),
    registry,
    journal: journalStore,
    journalWriter: journal,
    blob,
    lines,
    reader,
    runner,
    publisher,
    stream,
    sealer,
    accept,
    isSealed,
    decider: new CommitDecider(writing),
    audit: new AuditLog(journal, runtime),
    readiness: new Readiness({
      runner,
      owners,
      journal: journalStore,
      runtime,
      isHeadAwaited: settings.isHeadAwaited,
    }),
    originals: new OriginalFiles({ blob: () => stores.blob(), keys, runtime, isSealed }),
  };
  healing.begin(context);
  publisher.begin();
  return assemble(context);
}

/** Tells followers of each commit which types it has entries of. */
function tellOf(
  followers: readonly Pick<ProjectionRunner, "notify">[],
): (scope: Scope, receipt: Receipt) => void {
  return (scope, receipt) => {
    const types = new Set(receipt.entries.map(({ type }) => type));
    for (const follower of followers) follower.notify(scope, types);
  };
}

/** The stream over the journal's events, and what tells them to it where it is a server. */
function eventsOut(
  { runtime, onNotice }: CustodyParts,
  { stores, ...from }: JournalEventsParts & Pick<Context, "stores">,
): Pick<Context, "publisher" | "stream"> {
  const source = journalEvents(from);
  const stream = (): ReturnType<Stores["stream"]> => stores.stream(source);
  const notices = onNotice === undefined ? {} : { onNotice };
  return {
    publisher: new EventPublisher({ ...from, source, stream, runtime, ...notices }),
    stream,
  };
}

/** What reads and seals the journal's lines. */
function journalReading(
  { keys, runtime, settings }: CustodyParts,
  at: {
    readonly journal: Awaited<ReturnType<Stores["journal"]>>;
    readonly blob: Awaited<ReturnType<Stores["blob"]>>;
    readonly registry: TypeRegistry;
  },
): Pick<Context, "lines" | "reader" | "sealer"> {
  const { isSealed, recentBytesMax } = settings;
  const lines = new LineStore({ ...at, keys, runtime, isSealed });
  const opener = fieldOpener(keys);
  const reader = new JournalReader({ ...at, lines, opener, recentBytesMax });
  return { lines, reader, sealer: fieldSealer(keys, runtime) };
}

/** Looks at a tenant's types before the tenant's first write. */
function typeAcceptor(
  parts: Parameters<typeof collect>[0],
  registry: TypeRegistry,
  acceptLoss: boolean,
): (scope: Scope) => Promise<void> {
  const accepted = new Set<string>();
  return async (scope) => {
    if (accepted.has(scope.tenant)) return;
    await acceptTypes(parts.journal, scope, registry, { acceptLoss });
    accepted.add(scope.tenant);
    // What writers that died have left behind goes before anything new is written.
    await collect(parts, scope);
  };
}

type Context = Omit<CustodyParts, "onProjected"> &
  Pick<WatchedStores, "room" | "slowCalls"> & {
    readonly registry: TypeRegistry;
    readonly journal: Awaited<ReturnType<Stores["journal"]>>;
    readonly journalWriter: Journal;
    readonly blob: Awaited<ReturnType<Stores["blob"]>>;
    readonly lines: LineStore;
    readonly reader: JournalReader;
    readonly runner: ProjectionRunner;
    readonly publisher: EventPublisher;
    readonly stream: () => ReturnType<Stores["stream"]>;
    readonly decider: CommitDecider;
    readonly sealer: ReturnType<typeof fieldSealer>;
    readonly accept: (scope: Scope) => Promise<void>;
    readonly isSealed: boolean;
    readonly audit: AuditLog;
    readonly readiness: Readiness;
    readonly originals: OriginalFiles;
    readonly answers: Answers;
    readonly admission: Admission;
  };

function assemble(context: Context): Custody {
  let closing: Promise<void> | undefined;
  const reads = new Reads(context);
  return {
    ...writing(context),
    ...createReads(reads, context),
    explain: createExplanations(reads, context),
    ...proving(context),
    ...operating(context),
    ...signalling(context),
    [Symbol.asyncDispose]: () => (closing ??= close(context)),
  };
}

async function close({ runner, publisher, stores, keys }: Context): Promise<void> {
  await Promise.all([runner.close(), publisher.close()]);
  await stores[Symbol.asyncDispose]();
  await keys[Symbol.asyncDispose]();
}

function writing(context: Context): Pick<Custody, "commit" | "import" | "blob"> {
  const { audit, originals, accept, journalWriter, registry, decider } = context;
  return {
    commit: async (scope, parts, options) => {
      await accept(scope);
      return (await journalWriter.commit(scope, parts, options)).receipt;
    },
    import: async (scope, open, options) => {
      await accept(scope);
      const action = { action: "import", resource: options.name };
      const importer = {
        ...context,
        journal: journalWriter,
        store: context.journal,
        decider,
        registry,
        staging: context.settings.staging,
      };
      return audit.around(scope, action, () => importFile(importer, scope, open, options));
    },
    blob: {
      list: (scope, prefix, options = {}) =>
        context.blob.list(scope, prefix, { limit: 1_000, ...options }),
      get: (scope, key) =>
        audit.around(scope, { action: "blob.get", resource: key }, () => originals.get(scope, key)),
      put: (scope, key, bytes) =>
        audit.around(scope, { action: "blob.put", resource: key }, async () => {
          await context.room.requireNow();
          return originals.put(scope, key, bytes);
        }),
    },
  };
}

function signalling(context: Context): Pick<Custody, "events" | "consume" | "queue" | "cache"> {
  const { stores } = context;
  return {
    ...createStreaming(context),
    queue: () => stores.queue(),
    cache: () => stores.cache(),
  };
}

function proving(context: Context): Pick<Custody, "trace" | "proof" | "verify"> {
  const { audit, journal, registry } = context;
  return {
    trace: (scope, type, id) => trace(context, scope, type, id),
    proof: (scope, type, id) =>
      audit.around(scope, { action: "proof", resource: `${type} ${id}` }, async () => {
        const declared = registry.require(type);
        const { position } = await requireRecord(context, scope, declared, id);
        return proveLine(context, registry.home(scope, declared), position);
      }),
    verify: async (scope, options = {}) => {
      const tenants = options.allTenants === true ? await journal.tenants() : [scope.tenant];
      const scopes = tenants.map((tenant) => ({ ...scope, tenant }));
      const report = await verifyJournals(context, scopes, options.onProgress ?? (() => undefined));
      const outcome = report.ok ? "done" : "failed";
      // A journal that is damaged is not written to.
      if (report.ok)
        await audit.write(scope, { action: "verify", resource: tenants.join(" ") }, outcome);
      return report;
    },
  };
}

function operating(
  context: Context,
): Pick<
  Custody,
  | "status"
  | "engines"
  | "types"
  | "catchUp"
  | "rebuild"
  | "reconcile"
  | "quarantine"
  | "compact"
  | "slowCalls"
  | "backup"
  | "tenants"
> {
  const { audit, runner, publisher, accept } = context;
  return {
    engines: async () => {
      // Its health says why it cannot be opened.
      await context.stream().catch(() => undefined);
      return reportEngines(context.stores);
    },
    slowCalls: (scope) => context.slowCalls.list(tenantScope(scope)),
    status: (scope) => readStatus(context, tenantScope(scope)),
    types: (scope) => describeTypes(context, scope),
    catchUp: async (scope, roles) => {
      await accept(scope);
      const told = roles === undefined ? publisher.catchUp(scope) : undefined;
      await Promise.all([runner.catchUp(scope, roles === undefined ? {} : { roles }), told]);
    },
    rebuild: (scope, roles) =>
      audit.around(scope, { action: "rebuild", resource: roles.join(" ") }, async () => {
        const plans = await runner.rebuild(scope, { roles });
        return plans.map(({ role, name }) => ({ role, name }));
      }),
    reconcile: (scope, options = {}) => reconcileRecorded(context, scope, options),
    quarantine: createQuarantine(context),
    backup: createBackupOperations(context),
    tenants: () => context.journal.tenants(),
    compact: (scope) =>
      audit.around(scope, { action: "compact", resource: "segments" }, async () => {
        await collect(context, scope);
        return compact(context, scope);
      }),
  };
}
