import { StoreError } from "../errors.ts";
import type { ChildReply, ChildRequest } from "./child-process.ts";

/**
 * Answers the calls of the parent process for as long as it is there, in a program that
 * `CallableChild` starts. The process ends at once when its parent does.
 *
 * @param answer gives a call's value. Calls are not queued: what must follow each other waits in it.
 */
export function answerCalls(answer: (request: unknown) => Promise<unknown>): void {
  process.on("message", (message) => void reply(message as ChildRequest, answer));
  // Without exit handlers and destructors: native libraries have crashed in theirs, and whatever was
  // acknowledged is in the files already.
  process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
  // A terminal and a service manager send these to all processes; the parent decides when to end.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined);
}

async function reply(
  { call, request }: ChildRequest,
  answer: (request: unknown) => Promise<unknown>,
): Promise<void> {
  let message: ChildReply;
  try {
    message = { call, value: await answer(request) };
  } catch (cause) {
    message = { call, error: describeError(cause) };
  }
  process.send?.(message);
}

function describeError(cause: unknown): Extract<ChildReply, { error: unknown }>["error"] {
  if (cause instanceof StoreError) return { code: cause.code, message: cause.message };
  return { message: cause instanceof Error ? cause.message : String(cause) };
}
