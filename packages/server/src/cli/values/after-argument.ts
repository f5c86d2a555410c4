import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { ContractError } from "@custody/contract/errors";
import { parseJson } from "@custody/contract/json";
import type { After } from "@custody/core/custody";

import { usageError } from "../command-error.ts";

/**
 * Reads `--after`: a sequence, or a receipt as JSON or in a file (`@receipt.json`).
 *
 * Of a receipt only the sequences of its entries matter here: the last of them must have been reached.
 */
export async function parseAfter(text: string, directory: string): Promise<After> {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const json = text.startsWith("@")
    ? await readFile(resolve(directory, text.slice(1)), "utf8")
    : text;
  const sequences = sequencesOf(json);
  if (sequences.length > 0) return Math.max(...sequences);
  throw usageError(
    "--after is neither a sequence nor a receipt",
    "give a number, a receipt's JSON, or @file with a receipt in it",
  );
}

function sequencesOf(json: string): readonly number[] {
  let receipt: unknown;
  try {
    receipt = parseJson(json);
  } catch (error) {
    if (error instanceof ContractError) return [];
    throw error;
  }
  const entries = member(receipt, "entries");
  if (!Array.isArray(entries)) return [];
  return entries.map((entry) => member(entry, "sequence")).filter((one) => typeof one === "number");
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Record<string, unknown>)[name];
}
