/** What a source may cost before it is refused; each bound stops one kind of bomb. */
export interface ReadingLimits {
  /** Bytes after decompression. */
  readonly sourceBytesMax: number;
  /** Decompressed to compressed bytes, looked at once `ratioFromBytes` have been decompressed. */
  readonly ratioMax: number;
  readonly ratioFromBytes: number;
  /** Bytes of one line. */
  readonly lineBytesMax: number;
  /** Bytes of one JSON value that is given out whole. */
  readonly valueBytesMax: number;
  /** Levels of JSON arrays and objects. */
  readonly depthMax: number;
}

const MEBIBYTE = 1024 * 1024;

/**
 * Generous for evidence, tight for bombs. Reports of scanners shrink 10 to 60 times, repetitive logs
 * 200 times; deflate cannot shrink more than 1,032 times (zlib.net/zlib_tech.html), zstd and bzip2 can.
 */
export const READING_LIMITS: ReadingLimits = {
  sourceBytesMax: 64 * 1024 * MEBIBYTE,
  ratioMax: 1_000,
  ratioFromBytes: 64 * MEBIBYTE,
  lineBytesMax: 64 * MEBIBYTE,
  valueBytesMax: 64 * MEBIBYTE,
  depthMax: 256,
};
