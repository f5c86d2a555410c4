import type { Importer, Source, SourceHead } from "@custody/contract/importer";

/** SourceReading: how files become sources; given by the packs, which know about formats. */
export interface SourceReading {
  readonly importers: readonly Importer[];
  /** Opens a file's bytes: decompressed, decoded and bounded. @throws ImportError. */
  open(
    bytes: AsyncIterable<Uint8Array>,
    options: { readonly name: string; readonly isLenient?: boolean },
  ): Promise<OpenSource>;
  /** @throws ImportError `empty`, `unknown-format`. */
  detect(head: SourceHead, importers: readonly Importer[]): Importer;
}

/** A source whose beginning is known. */
export interface OpenSource extends Source, AsyncDisposable {
  readonly head: SourceHead;
}
