import { asFields, asList, defined, isBlank, restOf, withoutBlanks } from "../../../json-fields.ts";
import type { Fields } from "../../../json-fields.ts";

/** A message as evidence keeps it. */
export interface Message {
  readonly content: string | null;
  readonly details?: Fields;
}

const TEXT = new Set(["text"]);
const TURN = new Set(["role", "content"]);
const PROMPT = new Set(["turns"]);

/**
 * Reads a message of any garak version: text (to 0.11), an object with `text` beside language, data
 * and notes (from 0.12), or null for an answer that did not come.
 */
export function readMessage(value: unknown): Message {
  if (typeof value === "string") return { content: value };
  const fields = asFields(value);
  if (fields === undefined) {
    return isBlank(value) ? { content: null } : { content: null, details: { content: value } };
  }
  const text = fields["text"];
  if (typeof text !== "string") return message(null, withoutBlanks(fields));
  return message(text, restOf(fields, TEXT));
}

function message(content: string | null, details: Fields | undefined): Message {
  return details === undefined || isBlank(details) ? { content } : { content, details };
}

/** Reads a prompt of any garak version as turns: text, one message, or a conversation. */
export function readPrompt(value: unknown): Fields {
  const fields = asFields(value);
  if (fields === undefined || !Array.isArray(fields["turns"])) {
    return {
      turns: isBlank(value) && value !== "" ? [] : [{ role: "user", ...readMessage(value) }],
    };
  }
  return defined({
    turns: asList(fields["turns"]).map(readTurn),
    details: restOf(fields, PROMPT),
  });
}

function readTurn(value: unknown): Fields {
  const fields = asFields(value);
  const role = fields?.["role"];
  if (fields === undefined || typeof role !== "string") {
    return { role: "user", ...readMessage(value) };
  }
  const { content, details } = readMessage(fields["content"]);
  const rest = { ...details, ...restOf(fields, TURN) };
  return { role, ...message(content, rest) };
}
