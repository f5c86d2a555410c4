import type { BlobInfo } from "@custody/stores/blob/port";

import type { BackupContents } from "./backup-contents.ts";
import type { BackupManifest, TenantManifest } from "./backup-manifest.ts";

/** What of a manifest a restore looks at. */
export interface SourceManifest extends Pick<BackupManifest, "backupId" | "repository"> {
  /** When the journal was cut, in epoch milliseconds; absent for a journal that is alive. */
  readonly createdAt?: number;
  readonly tenants: readonly Pick<TenantManifest, "tenant" | "head" | "treeHead">[];
}

/** What a restore reads: the contents of a backup, or a journal that is alive. */
export interface RestoreSource extends Pick<BackupContents, "segment" | "state"> {
  readonly manifest: SourceManifest;
  /**
   * As {@link BackupContents.entries}.
   *
   * @param range.type the types that are wanted: a source that can find them leaves out the others.
   */
  entries(
    tenant: string,
    range: { readonly after: number; readonly to?: number; readonly type?: readonly string[] },
  ): ReturnType<BackupContents["entries"]>;
  blobs(tenant: string): AsyncIterable<BlobInfo>;
  blobBytes(tenant: string, blob: BlobInfo): AsyncIterable<Uint8Array>;
}

/** What is known of a tenant in a source; `undefined` where it is not in it. */
export function tenantOf(
  source: RestoreSource,
  tenant: string,
): SourceManifest["tenants"][number] | undefined {
  return source.manifest.tenants.find((one) => one.tenant === tenant);
}
