import type { BlobStore } from "@custody/stores/blob/port";
import type { JournalStore } from "@custody/stores/relational/journal";

import { Admission, ADMISSION_SETTINGS } from "../journal/admission.ts";
import { DiskRoom } from "../journal/disk-room.ts";
import { JournalReader } from "../journal/journal-reader.ts";
import { Journal } from "../journal/journal.ts";
import { LineStore } from "../journal/line-store.ts";
import { fieldOpener, fieldSealer } from "../journal/seal-records.ts";
import type { KeyService } from "../keys/key-service.ts";
import type { TypeRegistry } from "../records/type-registry.ts";
import type { Runtime } from "../runtime.ts";

/** Into what is restored: an empty journal and an empty blob store, of any engines, and the keys. */
export interface RestoreTarget {
  readonly journal: JournalStore;
  readonly blob: BlobStore;
  /** With the keys of the installation that made the backup, as its key backup has them now. */
  readonly keys: KeyService;
  readonly registry: TypeRegistry;
  readonly runtime: Runtime;
  /** Whether what is committed anew is encrypted. */
  readonly isSealed: boolean;
}

/** A journal that nobody projects yet, to be read and committed to. */
export interface RestoredJournal {
  readonly lines: LineStore;
  readonly reader: JournalReader;
  readonly writer: Journal;
}

// A restore reads forwards, once.
const RECENT_BYTES_MAX = 1024 * 1024;

/** Opens the journal of a place for what a restore itself reads and commits there. */
export function restoredJournal(target: RestoreTarget): RestoredJournal {
  const { journal, keys, runtime } = target;
  const lines = new LineStore(target);
  const reader = new JournalReader({
    ...target,
    lines,
    opener: fieldOpener(keys),
    recentBytesMax: RECENT_BYTES_MAX,
  });
  const writer = new Journal({
    ...target,
    store: journal,
    lines,
    reader,
    sealer: fieldSealer(keys, runtime),
    admission: new Admission(ADMISSION_SETTINGS, runtime.clock),
    room: new DiskRoom({ runtime }),
    onCommit: () => undefined,
  });
  return { lines, reader, writer };
}
