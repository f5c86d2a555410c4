import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { findPolicy, keyBackupUrl, repositoryUrl } from "./policy-file.ts";
import type { PolicySurroundings } from "./policy-file.ts";

/** A directory with files in it, and variables. */
function place(
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>>,
): PolicySurroundings {
  const directory = mkdtempSync(join(tmpdir(), "custody-policy-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return { directory, environment };
}

const POLICY = JSON.stringify({
  version: 1,
  repositories: { near: { url: "/backups/near" }, far: { urlFile: "far.url" } },
  keyBackup: { url: "/backups/keys" },
});

test("a policy's file names repositories, which commands take by name or by URL", () => {
  const at = place(
    { "policy.json": POLICY, "far.url": "s3://bucket/far?password-file=x\n" },
    { CUSTODY_POLICY: "policy.json" },
  );
  expect(findPolicy(at)?.source).toBe(join(at.directory, "policy.json"));
  expect(repositoryUrl(undefined, at)).toBe("/backups/near");
  expect(repositoryUrl("far", at)).toBe("s3://bucket/far?password-file=x");
  expect(repositoryUrl("/somewhere/else", at)).toBe("/somewhere/else");
  expect(keyBackupUrl(at)).toBe("/backups/keys");
});

test("without a policy a variable names the repository, or a file that holds it", () => {
  const plain = place({}, { CUSTODY_BACKUP_URL: "/backups", CUSTODY_KEY_BACKUP_URL: "/keys" });
  expect(repositoryUrl(undefined, plain)).toBe("/backups");
  expect(keyBackupUrl(plain)).toBe("/keys");
  expect(findPolicy(plain)?.policy.keyBackup).toEqual({ url: "/keys" });
  const inFile = place({ secret: "s3://bucket\n" }, { CUSTODY_BACKUP_URL_FILE: "secret" });
  expect(repositoryUrl(undefined, inFile)).toBe("s3://bucket");
});

test("with neither nothing is scheduled, and a command says what to give", () => {
  const bare = place({}, { CUSTODY_POLICY: "" });
  expect(findPolicy(bare)).toBeUndefined();
  expect(() => repositoryUrl(undefined, bare)).toThrow(
    "no repository of backups is named; give --repository with a directory or s3://…, or set CUSTODY_BACKUP_URL",
  );
});

test("what is wrong in a policy is told with its file and field", () => {
  const at = place(
    {
      "policy.json": JSON.stringify({
        version: 1,
        repositories: { near: { url: "a" } },
        jobs: [{ name: "a", kind: "backup", every: "61 * * * *" }],
      }),
    },
    { CUSTODY_POLICY: "policy.json" },
  );
  expect(() => findPolicy(at)).toThrow(
    expect.objectContaining({
      code: "usage",
      at: "jobs[0].every",
      message: expect.stringMatching(
        /policy\.json: the policy's jobs\[0\]\.every is no time: /,
      ) as string,
    }),
  );
});

test("a policy that is not there is told by its name", () => {
  const at = place({}, { CUSTODY_POLICY: "absent.json" });
  expect(() => findPolicy(at)).toThrow(
    `${join(at.directory, "absent.json")} cannot be read (ENOENT); check its name`,
  );
});
