import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { ContractError } from "@custody/contract/errors";
import { parseJson } from "@custody/contract/json";
import type { Receipt } from "@custody/contract/receipt";
import type { After } from "@custody/core/custody";

import { usageError } from "../command-error.ts";

/**
 * Reads `--after`: a sequence, or a receipt as JSON or in a file (`@receipt.json`).
 *
 * A receipt also says to which history it belongs, so that one from before a restore is refused.
 */
export async function parseAfter(text: string, directory: string): Promise<After> {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const json = text.startsWith("@")
    ? await readFile(resolve(directory, text.slice(1)), "utf8")
    : text;
  const receipt = parseReceipt(json);
  if (receipt !== undefined) return receipt;
  throw usageError(
    "--after is neither a sequence nor a receipt",
    "give a number, a receipt's JSON, or @file with a receipt in it",
  );
}

function parseReceipt(json: string): Receipt | undefined {
  try {
    const value: unknown = parseJson(json);
    return isReceipt(value) ? value : undefined;
  } catch (error) {
    if (error instanceof ContractError) return undefined;
    throw error;
  }
}

/** Looks at what is read of a receipt here: its tenant, its history, and the sequences of its entries. */
function isReceipt(value: unknown): value is Receipt {
  const entries = member(value, "entries");
  return (
    typeof member(value, "tenant") === "string" &&
    typeof member(value, "timeline") === "string" &&
    Array.isArray(entries) &&
    entries.length > 0 &&
    entries.every((entry) => typeof member(entry, "sequence") === "number")
  );
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Record<string, unknown>)[name];
}
