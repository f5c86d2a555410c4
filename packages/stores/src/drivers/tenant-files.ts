import { basename, dirname, join, sep } from "node:path";

import { checkTenant } from "@custody/contract/ids";

import { StoreError } from "../errors.ts";
import type { Scope } from "../scope.ts";
import { setFileAside } from "./set-aside.ts";
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

interface Slot<Handle> {
  readonly handle: Promise<Handle>;
  users: number;
  /** Called when nobody works with it any more. */
  onUnused: (() => void) | undefined;
}

/** A bounded pool of one file per tenant (and owner), so that no query can reach another tenant's rows. */
export class TenantFiles<Handle> {
  readonly #options: TenantFilesOptions<Handle>;
  readonly #open = new Map<string, Slot<Handle>>();
  /** Files in which a call met damage, by path. */
  readonly #damaged = new Set<string>();
  /** Files that are being set aside: nobody opens them meanwhile. */
  readonly #leaving = new Map<string, Promise<unknown>>();

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
    while (this.#leaving.has(path)) await this.#leaving.get(path);
    const slot = this.#open.get(path) ?? {
      handle: this.#options.open(path),
      users: 0,
      onUnused: undefined,
    };
    this.#open.delete(path);
    this.#open.set(path, slot);
    slot.users += 1;
    try {
      const handle = await slot.handle.catch((cause: unknown) => {
        this.#open.delete(path);
        throw cause;
      });
      return await work(handle);
    } catch (cause) {
      if (cause instanceof StoreError && cause.code === "corrupt") this.#damaged.add(path);
      throw cause;
    } finally {
      slot.users -= 1;
      if (slot.users === 0) slot.onUnused?.();
      await this.#shrink();
    }
  }

  /** Whether a call met damage in a file of a tenant, or of one of its owners. */
  hasDamage(scope: Scope): boolean {
    return this.#damagedPaths(scope).length > 0;
  }

  /**
   * Closes the damaged files of a tenant and of its owners when nobody works with them any more, and
   * sets them aside. Answers their new names.
   *
   * @param endings of what lies beside such a file and belongs to it.
   */
  async setAside(
    scope: Scope,
    atMs: number,
    endings: readonly string[],
  ): Promise<readonly string[]> {
    const names: string[] = [];
    for (const path of this.#damagedPaths(scope)) {
      const leaving = this.#closeDamaged(path).then(() => setFileAside(path, endings, atMs));
      this.#leaving.set(
        path,
        leaving.catch(() => undefined),
      );
      try {
        const target = await leaving;
        if (target !== undefined) names.push(basename(target));
      } finally {
        this.#leaving.delete(path);
      }
    }
    return names;
  }

  #damagedPaths(scope: Scope): readonly string[] {
    const { owner: _, ...tenant } = scope;
    const directory = `${dirname(this.path(tenant))}${sep}`;
    return [...this.#damaged].filter((path) => path.startsWith(directory));
  }

  async #closeDamaged(path: string): Promise<void> {
    const slot = this.#open.get(path);
    this.#open.delete(path);
    if (slot !== undefined && slot.users > 0) {
      await new Promise<void>((resolve) => {
        slot.onUnused = resolve;
      });
    }
    // Those who worked with it may have met the damage again.
    this.#damaged.delete(path);
    const handle = await slot?.handle.catch(() => undefined);
    if (handle !== undefined) await this.#options.close(handle);
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
