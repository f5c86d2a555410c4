import { join } from "node:path";

import { expect, test } from "vitest";

import { runDemo, temporaryDirectory } from "./demo-process.ts";
import { describeOnServers } from "./on-servers.ts";

describeOnServers(() => {
  test(
    "all that the demonstration says holds with a server for every role",
    { timeout: 240_000 },
    async () => {
      const directory = join(await temporaryDirectory(), "demo");
      const { exitCode, text } = await runDemo(directory, "--engines");
      expect(text).not.toContain("NOT TRUE");
      expect(text).toMatch(/\b20 of 20 checks held/);
      expect(text).toContain("takes the place of each lost one: document, series, search");
      expect(text).toContain("What it kept on the servers is dropped now.");
      expect(exitCode).toBe(0);
    },
  );
});
