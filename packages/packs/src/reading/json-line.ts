import { parseJson } from "@custody/contract/json";

import { READING_LIMITS } from "./reading-limits.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE_BIT = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/**
 * Parses one line of JSON Lines. `undefined` when it is no JSON, or nests deeper than documents may: what
 * walks a value after this may then trust the stack.
 */
export function parseJsonLine(text: string): unknown {
  if (isTooDeep(text, READING_LIMITS.depthMax)) return undefined;
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

function isTooDeep(text: string, depthMax: number): boolean {
  if (text.length <= depthMax) return false;
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (isInString) {
      if (unit === BACKSLASH) at += 1;
      else if (unit === QUOTE) isInString = false;
    } else if (unit === QUOTE) isInString = true;
    else if ((unit | BRACE_BIT) === OPEN) depth += 1;
    else if ((unit | BRACE_BIT) === CLOSE) depth -= 1;
    if (depth > depthMax) return true;
  }
  return false;
}
