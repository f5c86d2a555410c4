import { join } from "node:path";

import { z } from "zod";

import { CoreError } from "../errors.ts";
import { readIfPresent, replaceDurably } from "./durable-file.ts";

/**
 * What a keyring remembers of its key backup. It is written before the first key leaves, so that no
 * copy of a key is ever forgotten when the key is destroyed.
 */
export interface KeyBackupRecord {
  /** As {@link KeyBackupHead} has it. */
  readonly id: string;
  /** Where it is, without credentials. */
  readonly url: string;
  /** True when that is not enough to reach it: the URL had credentials or options. */
  readonly isShortened?: boolean;
  /** When it last held every key, in epoch milliseconds; absent when the first time never ended. */
  readonly syncedAt?: number;
}

const RECORD = z.strictObject({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  url: z.string().min(1),
  isShortened: z.literal(true).optional(),
  syncedAt: z.number().optional(),
});

/** @throws CoreError `damaged` when the file is not what was written. */
export async function readKeyBackupRecord(keys: string): Promise<KeyBackupRecord | undefined> {
  const path = recordFile(keys);
  const text = await readIfPresent(path);
  if (text === undefined) return undefined;
  const parsed = RECORD.safeParse(parseJson(text));
  if (!parsed.success)
    throw new CoreError("damaged", `${path} cannot be read: it names where the key backup is`);
  const { id, url, isShortened, syncedAt } = parsed.data;
  return {
    id,
    url,
    ...(isShortened === undefined ? {} : { isShortened }),
    ...(syncedAt === undefined ? {} : { syncedAt }),
  };
}

/** A record of a backup that is reached by `url` and shown as `shown`. */
export function keyBackupRecord(id: string, url: string, shown: string): KeyBackupRecord {
  return { id, url: shown, ...(shown === url ? {} : { isShortened: true }) };
}

/** Replaces the record, whole or not at all. */
export async function writeKeyBackupRecord(keys: string, record: KeyBackupRecord): Promise<void> {
  await replaceDurably(recordFile(keys), `${JSON.stringify({ version: 1, ...record })}\n`);
}

function recordFile(keys: string): string {
  return join(keys, "backup.json");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
