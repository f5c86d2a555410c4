import type { WrappingService } from "@custody/stores/wrapping/port";

import { CoreError } from "../errors.ts";
import { wrapUnderPassphrase } from "./key-backup-head.ts";
import type { KeyBackupHead, RootWrapping } from "./key-backup-head.ts";
import { wrapUnderService } from "./key-service-wrapping.ts";
import type { ServiceWrapping } from "./key-service-wrapping.ts";
import type { RootKey } from "./root-key-file.ts";

/** What the root key of a key backup is to be wrapped under. */
export interface WantedWrappings {
  readonly root: RootKey;
  readonly random: (length: number) => Uint8Array;
  /** The root key as the recovery key wraps it, where that is kept here. */
  readonly recovery: string | undefined;
  /** Takes the place of an earlier one. */
  readonly passphrase: string | undefined;
  /** Takes the place of an earlier one, and is asked only when it is another. */
  readonly service: WrappingService | undefined;
  /** `anew` asks it in any case; `none` gives up what a key service has wrapped. */
  readonly keyService: "anew" | "none" | undefined;
}

/**
 * The wrappings of a key backup's next head: what is not given anew stays as it was, so that nobody
 * needs to be asked again.
 *
 * @throws CoreError `usage` when nothing could open it, StoreError of the key service.
 */
export async function nextWrappings(
  before: readonly RootWrapping[],
  wanted: WantedWrappings,
): Promise<readonly RootWrapping[]> {
  const { root, random, recovery, passphrase } = wanted;
  const wrappings = [
    ...(recovery === undefined ? [] : [{ kind: "recovery" as const, wrapped: recovery }]),
    ...(passphrase === undefined
      ? before.filter(({ kind }) => kind === "passphrase")
      : [await wrapUnderPassphrase(passphrase, root.key, random)]),
    ...(await underService(before, wanted)),
  ];
  if (wrappings.length > 0) return wrappings;
  throw new CoreError(
    "usage",
    "there is no recovery key here that could open a key backup; give a passphrase or a key service",
  );
}

/** The wrapping by a key service, where there is one. */
export function serviceWrapping({
  wrappings,
}: Pick<KeyBackupHead, "wrappings">): ServiceWrapping | undefined {
  return wrappings.find((one) => one.kind === "key-service");
}

async function underService(
  before: readonly RootWrapping[],
  { root, random, service, keyService }: WantedWrappings,
): Promise<readonly ServiceWrapping[]> {
  if (keyService === "none") return [];
  const known = serviceWrapping({ wrappings: before });
  const isKept =
    service === undefined || (known?.service === service.name && keyService !== "anew");
  if (isKept) return known === undefined ? [] : [known];
  return [await wrapUnderService(service, root, random)];
}
