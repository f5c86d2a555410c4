import { SingleBar } from "cli-progress";

import type { Terminal } from "../terminal.ts";
import { formatBytes, formatDuration, formatNumber } from "./quantity.ts";
import { cutText, visibleText } from "./visible-text.ts";

/** A bar that shows how far a piece of work is; disposing removes it. */
export interface ProgressLine extends Disposable {
  readonly update: (done: number, of: number) => void;
}

/** Shows a bar of counts on a terminal; elsewhere nothing. */
export function progressLine(terminal: Terminal, title: string): ProgressLine {
  const bar = createBar(terminal, `${title} [{bar}] {percentage}% | {value}/{total}`);
  return {
    update: (done, of) => {
      if (bar === undefined) return;
      if (!bar.isActive) bar.start(of, done);
      bar.setTotal(of);
      bar.update(done);
    },
    [Symbol.dispose]: () => bar?.stop(),
  };
}

/** A bar for a file that is being read, with rate and remaining time. */
export interface FileProgress extends Disposable {
  readonly update: (bytesRead: number, rows: number) => void;
}

/** Shows how far a file has been read, on a terminal; elsewhere nothing. `bytes` is its size. */
export function fileProgress(terminal: Terminal, name: string, bytes: number): FileProgress {
  const bar = createBar(
    terminal,
    "{name} [{bar}] {percentage}% | {rate}/s | {rows} records | {remaining}",
  );
  const startedAt = terminal.clock();
  const shownName = cutText(visibleText(name), 40);
  bar?.start(Math.max(bytes, 1), 0, { name: shownName, rate: "", rows: "0", remaining: "" });
  return {
    update: (bytesRead, rows) => {
      const elapsedMs = Math.max(1, terminal.clock() - startedAt);
      const leftMs = bytesRead > 0 ? ((bytes - bytesRead) * elapsedMs) / bytesRead : 0;
      bar?.update(bytesRead, {
        rate: formatBytes((bytesRead * 1_000) / elapsedMs),
        rows: formatNumber(rows),
        remaining: bytesRead < bytes ? `${formatDuration(leftMs)} left` : "committing",
      });
    },
    [Symbol.dispose]: () => bar?.stop(),
  };
}

function createBar(terminal: Terminal, format: string): SingleBar | undefined {
  if (terminal.progress === undefined) return undefined;
  return new SingleBar({
    format,
    stream: terminal.progress,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 24,
    fps: 8,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    // The command line decides itself what an interrupt means.
    gracefulExit: false,
  });
}
