// The thread's own program: opens stores and does what it is asked, one message after another.
import { parentPort } from "node:worker_threads";

import { letGo } from "./hand-over.ts";
import { DISPOSE, plainError } from "./messages.ts";
import type { Request, StoreSpec } from "./messages.ts";

type Method = (...args: readonly unknown[]) => unknown;

const objects = new Map<number, Record<string | symbol, unknown>>();
let lastObject = 0;

parentPort?.on("message", (request: Request) => {
  void answer(request);
});

async function answer({ call, object, method, args }: Request): Promise<void> {
  try {
    const value =
      object === 0 ? await open(args[0] as StoreSpec) : await invoke(object, method, args);
    parentPort?.postMessage({ call, ...(isLive(value) ? keep(value) : { value }) });
  } catch (cause) {
    parentPort?.postMessage({ call, error: plainError(cause) });
  } finally {
    letGo(args);
  }
}

async function open(spec: StoreSpec): Promise<unknown> {
  const module = (await import(spec.module)) as Record<string, Method>;
  const make = module[spec.open];
  if (make === undefined) throw new Error(`${spec.module} has no ${spec.open}`);
  return make({ clock: () => Date.now(), ...spec.options });
}

async function invoke(object: number, method: string, args: readonly unknown[]): Promise<unknown> {
  const target = objects.get(object);
  if (target === undefined) throw new Error("the object was already released");
  const isLast = method === DISPOSE || method === "commit" || method === "rollback";
  const member = method === DISPOSE ? target[Symbol.asyncDispose] : target[method];
  if (typeof member !== "function") throw new Error(`there is no method ${method}`);
  try {
    const value: unknown = await (member as Method).call(target, ...args);
    return value;
  } finally {
    if (isLast) objects.delete(object);
  }
}

/** Whether a value has methods, and so must stay in this thread. */
function isLive(value: unknown): value is Record<string | symbol, unknown> {
  if (
    typeof value !== "object" ||
    value === null ||
    ArrayBuffer.isView(value) ||
    Array.isArray(value)
  )
    return false;
  return members(value).some((name) => typeof Reflect.get(value, name) === "function");
}

function keep(value: Record<string | symbol, unknown>): {
  object: number;
  facts: Record<string, unknown>;
} {
  lastObject += 1;
  objects.set(lastObject, value);
  const facts: Record<string, unknown> = {};
  for (const name of members(value)) {
    const member: unknown = Reflect.get(value, name);
    if (typeof member !== "function") facts[name] = member;
  }
  return { object: lastObject, facts };
}

/** Own members and those of the value's classes. */
function members(value: object): readonly string[] {
  const names: string[] = [];
  for (
    let at: object | null = value;
    at !== null && at !== Object.prototype;
    at = prototypeOf(at)
  ) {
    names.push(...Object.getOwnPropertyNames(at).filter((name) => name !== "constructor"));
  }
  return names;
}

function prototypeOf(value: object): object | null {
  return Object.getPrototypeOf(value) as object | null;
}
