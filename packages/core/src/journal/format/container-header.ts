import { CoreError } from "../../errors.ts";
import { SALT_BYTES } from "./aead.ts";
import type { Compression } from "./codec.ts";

/** Bytes of the header with which segments and inline lines begin. */
export const HEADER_BYTES = 32;

/** What the first bytes of a container say; all of them are bound to everything sealed after them. */
export interface ContainerHeader {
  readonly isSealed: boolean;
  readonly compression: Compression;
  /** Whose month's tenant key opens it, `YYYY-MM`. */
  readonly period: string;
  /** 16 random bytes, new for each container: two contents under one name never share a key. */
  readonly salt: Uint8Array;
}

/** The eight ASCII characters with which a kind of container begins. */
export type ContainerMagic = "CUSTODYS" | "CUSTODYI";

const VERSION = 1;
const CODECS: readonly (Compression | undefined)[] = [undefined, "zstd", "gzip"];
const PERIOD = /^(\d{4})-(0[1-9]|1[0-2])$/;

/** Writes a header: magic, version, flags, codec, zero, period, salt. */
export function encodeHeader(magic: ContainerMagic, header: ContainerHeader): Uint8Array {
  const { isSealed, compression, period, salt } = header;
  const parts = PERIOD.exec(period);
  if (parts === null) throw new CoreError("usage", `a key period is YYYY-MM, not ${period}`);
  if (salt.byteLength !== SALT_BYTES)
    throw new CoreError("usage", `a container's salt has ${SALT_BYTES} bytes`);
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(magic, 0, "latin1");
  bytes.writeUInt8(VERSION, 8);
  bytes.writeUInt8(isSealed ? 1 : 0, 9);
  bytes.writeUInt8(CODECS.indexOf(compression), 10);
  bytes.writeUInt32LE(Number(parts[1]) * 100 + Number(parts[2]), 12);
  bytes.set(salt, 16);
  return bytes;
}

/**
 * Reads a header.
 *
 * @throws CoreError `damaged` naming the first byte that is wrong.
 */
export function decodeHeader(magic: ContainerMagic, bytes: Uint8Array): ContainerHeader {
  if (bytes.byteLength < HEADER_BYTES) throw damaged(`only ${bytes.byteLength} bytes long`);
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  if (view.toString("latin1", 0, 8) !== magic) throw damaged(`it does not begin with ${magic}`);
  const version = view.readUInt8(8);
  if (version !== VERSION)
    throw damaged(`format version ${version}; this program reads version ${VERSION}`);
  const flags = view.readUInt8(9);
  const compression = CODECS[view.readUInt8(10)];
  if (flags > 1) throw damaged(`unknown flags ${flags}`);
  if (compression === undefined) throw damaged(`unknown codec ${view.readUInt8(10)}`);
  if (view.readUInt8(11) !== 0) throw damaged("byte 11 is not zero");
  const month = view.readUInt32LE(12);
  const period = `${String(Math.floor(month / 100)).padStart(4, "0")}-${String(month % 100).padStart(2, "0")}`;
  if (!PERIOD.test(period)) throw damaged(`key period ${month} is no month`);
  return { isSealed: flags === 1, compression, period, salt: Uint8Array.from(view.subarray(16)) };
}

function damaged(reason: string): CoreError {
  return new CoreError("damaged", `header: ${reason}`);
}
