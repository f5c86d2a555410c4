import type { LadybugParameters } from "./ladybug.ts";

/** Which of a file's two connections a statement is for. */
export type LadybugSide = "writer" | "reader";

/** Opens a file in the LadybugDB process; answers the number by which statements name it. */
export interface LadybugOpenRequest {
  readonly open: string;
  /** Resident page cache of the file, in bytes. */
  readonly bufferPoolBytes: number;
  /** Address space reserved for the file and its largest size, in bytes; a power of two. */
  readonly sizeMax: number;
  /** How long to wait for another process that still holds the file. */
  readonly lockWaitMs: number;
}

/** Runs a statement; see `LadybugSession` for the three ways. Answers a `LadybugAnswer`. */
export interface LadybugStatementRequest {
  readonly file: number;
  readonly side: LadybugSide;
  readonly how: "run" | "direct" | "ask";
  readonly statement: string;
  readonly parameters: LadybugParameters;
  readonly rowsMax: number;
  /** Interrupts this statement and those after it on the same side when they take longer. */
  readonly timeMs?: number;
}

/** Moves what the write-ahead logs hold into the files, before the process is ended. */
export interface LadybugSettleRequest {
  readonly settle: true;
}

/** Asks for the resident size of the process in bytes. */
export interface LadybugResidentRequest {
  readonly resident: true;
}

/** What the LadybugDB process can be asked. */
export type LadybugRequest =
  | LadybugOpenRequest
  | LadybugStatementRequest
  | LadybugSettleRequest
  | LadybugResidentRequest;

/** What LadybugDB says of a file that another process has open. */
export const LOCKED: RegExp = /Could not set lock on file/;
