import { describe, expect, test } from "vitest";

import { fieldsOf, importAll, sourceOf } from "../../../testing/read-text.ts";
import { commits } from "../../types/commits.ts";
import { git } from "./git.ts";

const A = "a".repeat(40);
const B = "b".repeat(40);

/** One commit as git log writes it in the documented format. */
function commit(
  name: string,
  more: { parents?: string; subject?: string; body?: string; files?: string; committer?: string },
): string {
  const { parents = "", subject = "first", body = "", files = "", committer } = more;
  return (
    `${name}\0${"c".repeat(40)}\0${parents}\0Ann\0a@example.org\x002026-01-05T08:00:00+01:00\0` +
    `${committer ?? "Ann\0a@example.org"}\x002026-01-05T09:00:00+01:00\0HEAD -> main, tag: v1\0` +
    `${subject}\0${body}\0${files}`
  );
}

describe("git history", () => {
  test("a commit, its files and its committer become records", async () => {
    const log =
      commit(B, {
        parents: A,
        subject: "second: über",
        body: "body line\nSigned-off-by: X <x@example.org>\n",
        files: "\n3\t1\tsrc/a b.ts\0-\t-\tlogo.png\x000\t0\t\0old\tname\0new\nname\0",
        committer: "Com\0c@example.org",
      }) + commit(A, {});
    for (const pieceBytes of [1, 7, 10_000]) {
      const rows = await importAll(git, log, { name: "demo.log", pieceBytes });
      expect(fieldsOf(rows, "audit/commits")).toEqual([
        {
          repository: "demo",
          commit: B,
          tree: "c".repeat(40),
          parents: [A],
          authored_at: "2026-01-05T08:00:00+01:00",
          committed_at: "2026-01-05T09:00:00+01:00",
          author_name: "Ann",
          author_email: "a@example.org",
          refs: ["HEAD -> main", "tag: v1"],
          subject: "second: über",
          body: "body line\nSigned-off-by: X <x@example.org>",
          files_changed: 3,
          insertions: 3,
          deletions: 1,
          is_merge: false,
        },
        expect.objectContaining({ commit: A, parents: [], subject: "first", files_changed: 0 }),
      ]);
      expect(fieldsOf(rows, "audit/commit_files")).toMatchObject([
        { path: "src/a b.ts", insertions: 3, deletions: 1, is_binary: false },
        { path: "logo.png", is_binary: true },
        { path: "new\nname", old_path: "old\tname", insertions: 0, deletions: 0 },
      ]);
      expect(fieldsOf(rows, "audit/committers")).toMatchObject([
        { commit: B, committer_name: "Com", committer_email: "c@example.org" },
      ]);
      for (const fields of fieldsOf(rows, "audit/commits")) {
        expect(commits.schema.safeParse(fields).success).toBe(true);
      }
    }
  });

  test("a message that looks like the format is only a message", async () => {
    const log = commit(A, { subject: B, body: `\n1\t2\tx\n${B}\n` });
    const rows = await importAll(git, log);
    expect(fieldsOf(rows, "audit/commits")).toMatchObject([
      { subject: B, body: `\n1\t2\tx\n${B}`, files_changed: 0 },
    ]);
  });

  test("the format is known by its beginning alone", async () => {
    expect(git.detect((await sourceOf(commit(A, {}), { name: "x" })).head)).toBe(0.98);
    expect(git.detect((await sourceOf("commit abc\nAuthor: x\n")).head)).toBe(0);
  });

  test("a damaged log is refused with the commit's number", async () => {
    const whole = commit(B, {}) + commit(A, { files: "\n1\t1\tfile\0" });
    const damaged = [
      [whole.slice(0, whole.lastIndexOf("first") - 3), "commit 2"],
      [whole.replace("\n1\t1\tfile", "\none\t1\tfile"), "commit 2"],
      [whole.replace(A, "not a name"), "commit 1"],
      [`x${whole}`, "commit 1"],
    ] as const;
    for (const [bad, at] of damaged) {
      await expect(importAll(git, bad)).rejects.toMatchObject({ code: "malformed", at });
    }
  });
});
