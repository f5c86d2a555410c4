import { join } from "node:path";

import { checkTenant } from "@custody/contract/ids";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { ownerFileName } from "./space.ts";

export interface TenantFilesOptions<Handle> {
  /** The data directory; a tenant's files lie in `tenants/<tenant>` below it. */
  readonly directory: string;
  /** The file's name in a tenant's directory: `document.sqlite`. */
  readonly file: string;
  /** Secret under which an owner's name becomes a file name; without it owner scopes are refused. */
  readonly ownerSalt?: Uint8Array;
  /** Open files kept at most; the longest unused is closed first. Default 16. */
  readonly openMax?: number;
  readonly open: (path: string) => Promise<Handle>;
  readonly close: (handle: Handle) => Promise<void>;
}

/** A bounded pool of one file per tenant (and owner), so that no query can reach another tenant's rows. */
export class TenantFiles<Handle> {
  readonly #options: TenantFilesOptions<Handle>;
  readonly #open = new Map<string, { handle: Promise<Handle>; users: number }>();

  constructor(options: TenantFilesOptions<Handle>) {
    this.#options = options;
  }

  /** The path of a scope's file. @throws StoreError `unsupported` for an owner without a salt. */
  path(scope: Scope): string {
    const { directory, file, ownerSalt } = this.#options;
    const tenant = join(directory, "tenants", checkTenant(scope.tenant));
    if (scope.owner === undefined) return join(tenant, file);
    if (ownerSalt === undefined)
      throw new StoreError("unsupported", "files per owner need an owner salt");
    return join(tenant, "owners", ownerFileName(ownerSalt, scope.owner), file);
  }

  /** Runs work with the scope's open file; the file is not closed while work goes on. */
  async use<Result>(
    scope: Scope,
    work: (handle: Handle) => Promise<Result> | Result,
  ): Promise<Result> {
    const path = this.path(scope);
    const slot = this.#open.get(path) ?? { handle: this.#options.open(path), users: 0 };
    this.#open.delete(path);
    this.#open.set(path, slot);
    slot.users += 1;
    try {
      const handle = await slot.handle.catch((cause: unknown) => {
        this.#open.delete(path);
        throw cause;
      });
      return await work(handle);
    } finally {
      slot.users -= 1;
      await this.#shrink();
    }
  }

  async closeAll(): Promise<void> {
    const slots = [...this.#open.values()];
    this.#open.clear();
    for (const { handle } of slots) {
      const settled = await handle.catch(() => undefined);
      if (settled !== undefined) await this.#options.close(settled);
    }
  }

  async #shrink(): Promise<void> {
    const { openMax = 16, close } = this.#options;
    for (const [path, slot] of this.#open) {
      if (this.#open.size <= openMax) return;
      if (slot.users > 0) continue;
      this.#open.delete(path);
      await close(await slot.handle);
    }
  }
}
