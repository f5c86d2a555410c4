import type { Demo } from "./import-evidence.ts";
import { analyticsQuestion, sqlQuestion } from "./questions-of-numbers.ts";
import { documentQuestion, graphQuestion, searchQuestion } from "./questions-of-records.ts";
import { relationalQuestion, seriesQuestion } from "./questions-of-time.ts";

/** A question to one store. Asking it prints the answer and gives it back, to be compared later. */
export interface Question {
  readonly role: string;
  readonly text: string;
  readonly ask: (demo: Demo) => Promise<unknown>;
}

/** One question for each store that is filled from the journal, and one for SQL. */
export const QUESTIONS: readonly Question[] = [
  documentQuestion,
  relationalQuestion,
  seriesQuestion,
  searchQuestion,
  analyticsQuestion,
  sqlQuestion,
  graphQuestion,
];
