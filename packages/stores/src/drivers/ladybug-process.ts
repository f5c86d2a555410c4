/**
 * The process that LadybugDB runs in. It is started by `ladybug-host.ts`, speaks with it over its IPC
 * channel alone, and never closes a database: opening and closing them repeatedly in one process has
 * ended with native aborts, so it is ended instead.
 */
import { answerCalls } from "./child-answers.ts";
import { openLadybugDatabase } from "./ladybug-database.ts";
import type { LadybugDatabase } from "./ladybug-database.ts";
import type { LadybugRequest, LadybugStatementRequest } from "./ladybug-protocol.ts";

const databases: LadybugDatabase[] = [];

async function answer(request: LadybugRequest): Promise<unknown> {
  if ("open" in request) {
    databases.push(await openLadybugDatabase(request));
    return databases.length - 1;
  }
  if ("settle" in request) return await settle();
  if ("resident" in request) return process.memoryUsage.rss();
  return await runStatement(request);
}

async function runStatement(request: LadybugStatementRequest): Promise<unknown> {
  const connection = databases[request.file]?.[request.side];
  if (connection === undefined) throw new Error(`no file of number ${request.file} is open`);
  if (request.timeMs !== undefined) connection.limitTime(request.timeMs);
  return await connection.answer(request);
}

async function settle(): Promise<void> {
  for (const { writer } of databases) await writer.checkpoint();
}

answerCalls((request) => answer(request as LadybugRequest));
