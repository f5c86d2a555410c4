import type { RawBatch, RawStore } from "../baseline/raw-store.ts";

/** How a raw store on a server is filled: what it takes of a batch, as data that can be posted. */
export interface RawServerPlacement {
  readonly rows: (batch: RawBatch) => unknown;
  readonly open: (url: string) => Promise<RawStore<unknown>>;
}

/** The URL without path and options, with another scheme where one is given. */
export function serverAddress(url: string, scheme?: string): string {
  const address = url.replace(/^([^:]+:\/\/[^/?]*).*$/s, "$1");
  return scheme === undefined ? address : address.replace(/^[^:]+:/, `${scheme}:`);
}

/** What the URL's path names: the installation, on most products. */
export function installationOf(url: string): string {
  return /^[^:]+:\/\/[^/?#]*\/([^?#]*)/.exec(url)?.[1] ?? "";
}
