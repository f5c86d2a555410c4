import { timingSafeEqual } from "node:crypto";

import { StoreError } from "@custody/stores/errors";
import type { WrappingContext, WrappingService } from "@custody/stores/wrapping/port";

import { CoreError } from "../errors.ts";
import { KEY_BYTES, NONCE_BYTES } from "../journal/format/aead.ts";
import { ROOT_NAME } from "./root-key-file.ts";
import type { RootKey } from "./root-key-file.ts";
import { wrapKey } from "./wrapped-key.ts";
import type { WrappingKey } from "./wrapped-key.ts";

/** A root key wrapped with the help of a key service outside. */
export interface ServiceWrapping {
  readonly kind: "key-service";
  /** The root key under the middle key. */
  readonly wrapped: string;
  /** The middle key as the service wrapped it, base64url. */
  readonly key: string;
  /** The name of the service's key, for people. */
  readonly service: string;
}

/**
 * Wraps a root key under a middle key made for it, and that one by the service: who runs the service
 * sees no root key, and needs the key backup to come to one. What was wrapped is opened once before
 * it counts, as a service may be allowed to wrap and not to unwrap.
 *
 * @throws StoreError as the service does.
 */
export async function wrapUnderService(
  service: WrappingService,
  root: RootKey,
  random: (length: number) => Uint8Array,
): Promise<ServiceWrapping> {
  const middle = Uint8Array.from(random(KEY_BYTES));
  const wrapped = await service.wrap(middle, contextOf(root.id));
  const opened = await service.unwrap(wrapped, contextOf(root.id));
  if (opened.byteLength !== KEY_BYTES || !timingSafeEqual(opened, middle))
    throw new CoreError("failed", `${service.name} does not give back what it wrapped`);
  return {
    kind: "key-service",
    wrapped: wrapKey(middleKey(middle), ROOT_NAME, root.key, random(NONCE_BYTES)),
    key: Buffer.from(wrapped).toString("base64url"),
    service: service.name,
  };
}

/**
 * The key under which the root key of a key backup lies, from the service that wrapped it.
 *
 * @param rootId the root key's id, as the head of the key backup has it.
 * @throws CoreError `no-key` when the service refuses to open it, StoreError `unavailable`.
 */
export async function unwrapByService(
  { key, service: name }: ServiceWrapping,
  service: WrappingService,
  rootId: string,
): Promise<WrappingKey> {
  try {
    return middleKey(await service.unwrap(Buffer.from(key, "base64url"), contextOf(rootId)));
  } catch (cause) {
    if (!(cause instanceof StoreError) || cause.code !== "refused") throw cause;
    const by = service.name === name ? name : `${service.name}, where ${name} wrapped it,`;
    throw new CoreError("no-key", `${by} does not open this key backup: ${cause.message}`, {
      cause,
    });
  }
}

/** Says in the service's audit log what is asked for, and binds it to these keys. */
function contextOf(rootId: string): WrappingContext {
  return { "custody-purpose": "key-backup", "custody-root-key": rootId };
}

function middleKey(key: Uint8Array): WrappingKey {
  return { id: "key-service", key };
}
