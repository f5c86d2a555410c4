import { expect, test } from "vitest";

import { nearest } from "./nearest.ts";

const types = ["redteam/session_evidence", "redteam/test_sessions", "fortress/vulnerabilities"];

test("a mistyped name is answered with the one that was meant", () => {
  expect(nearest("redteam/sesion_evidence", types)).toBe("redteam/session_evidence");
  expect(nearest("redteam/test_sesisons", types)).toBe("redteam/test_sessions");
});

test("a name without its pack is found", () => {
  expect(nearest("vulnerabilities", types)).toBe("fortress/vulnerabilities");
});

test("another word is like none of them", () => {
  expect(nearest("grobnitz", types)).toBeUndefined();
});
