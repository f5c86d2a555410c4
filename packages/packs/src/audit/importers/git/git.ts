import { ImportError } from "@custody/contract/importer";
import type { Importer, ImportRow, Source } from "@custody/contract/importer";

import { defined } from "../../../json-fields.ts";

/** The command whose output the importer reads. */
const GIT_LOG_COMMAND =
  "git log --all --topo-order --reverse -z --numstat --find-renames --date=iso-strict " +
  "--encoding=UTF-8 --no-show-signature --no-mailmap " +
  "--pretty=tformat:'%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%D%x00%s%x00%b'";

const COMMIT_FIELDS = 12;
const OBJECT_NAME = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
const BEGINNING = /^(?:[0-9a-f]{40}\0[0-9a-f]{40}|[0-9a-f]{64}\0[0-9a-f]{64})\0/;
const COUNTS = /^(\d+|-)\t(\d+|-)\t([^]*)$/;

/**
 * Reads a repository's history as `GIT_LOG_COMMAND` writes it: fields end in NUL, which git lets
 * into none of them, so no name or message can be taken for another.
 */
export const git: Importer = {
  name: "git",
  version: 1,
  title: "git history, written by git log with NUL-separated fields",
  types: ["audit/commits", "audit/commit_files", "audit/committers"],

  detect: (head) => (BEGINNING.test(head.text) ? 0.98 : 0),

  async *read(source, context) {
    yield { kind: "tool", name: "git" };
    const repository = context.labels["repository"] ?? repositoryName(source.name);
    const tokens = new Tokens(source);
    for (let number = 1; (await tokens.peek()) !== undefined; number += 1) {
      yield* readCommit(tokens, { repository, number });
    }
  },
};

function repositoryName(name: string): string {
  return name.replace(/\.(?:log|txt|gitlog)$/i, "");
}

interface Place {
  readonly repository: string;
  readonly number: number;
}

interface FileChange {
  readonly path: string;
  readonly oldPath?: string;
  readonly insertions: number | undefined;
  readonly deletions: number | undefined;
}

async function* readCommit(
  tokens: Tokens,
  { repository, number }: Place,
): AsyncGenerator<ImportRow> {
  const fields: string[] = [];
  for (let index = 0; index < COMMIT_FIELDS; index += 1) {
    const field = await tokens.next();
    if (field === undefined) return refuse(number, "the file ends within the commit");
    fields.push(field);
  }
  const [commit = "", tree = "", parents = "", name = "", email = "", authoredAt = ""] = fields;
  const [committerName = "", committerEmail = "", committedAt = "", refs = "", subject = ""] =
    fields.slice(6);
  const body = (fields[11] ?? "").replace(/\n+$/, "");
  if (!OBJECT_NAME.test(commit)) refuse(number, "its object name is not one");
  const files = await readFiles(tokens, number);
  const at = `commit ${number}`;
  yield record("commits", at, {
    repository,
    commit,
    tree: tree === "" ? undefined : tree,
    parents: words(parents),
    authored_at: instant(authoredAt),
    committed_at: instant(committedAt),
    author_name: name === "" ? undefined : name,
    author_email: email === "" ? name || "unknown" : email,
    refs: refs === "" ? undefined : refs.split(", "),
    subject,
    body: body === "" ? undefined : body,
    files_changed: files.length,
    insertions: sum(files.map((file) => file.insertions)),
    deletions: sum(files.map((file) => file.deletions)),
    is_merge: words(parents).length > 1,
  });
  if (committerEmail !== email || committerName !== name) {
    yield record("committers", at, {
      repository,
      commit,
      committed_at: instant(committedAt),
      committer_name: committerName === "" ? undefined : committerName,
      committer_email: committerEmail === "" ? committerName || "unknown" : committerEmail,
    });
  }
  for (const file of files) {
    yield record("commit_files", at, {
      repository,
      commit,
      path: file.path,
      old_path: file.oldPath,
      committed_at: instant(committedAt),
      insertions: file.insertions,
      deletions: file.deletions,
      is_binary: file.insertions === undefined,
    });
  }
}

/** The counts of lines by file, up to the next commit. A renamed file has two paths of its own. */
async function readFiles(tokens: Tokens, number: number): Promise<FileChange[]> {
  const files: FileChange[] = [];
  for (;;) {
    const token = await tokens.peek();
    if (token === undefined || OBJECT_NAME.test(token)) return files;
    await tokens.next();
    const line = token.replace(/^\n/, "");
    if (line === "") continue;
    const [, added, removed, path] =
      COUNTS.exec(line) ?? refuse(number, "its file counts are damaged");
    const counts = { insertions: count(added), deletions: count(removed) };
    if (path !== undefined && path !== "") {
      files.push({ path, ...counts });
      continue;
    }
    const oldPath = await tokens.next();
    const newPath = await tokens.next();
    if (oldPath === undefined || newPath === undefined) {
      refuse(number, "the file ends within a renamed file");
    }
    files.push({ path: newPath, oldPath, ...counts });
  }
}

/** The texts between NULs, one at a time, with a look at the next one. */
class Tokens {
  readonly #tokens: AsyncIterator<string>;
  #ahead: { readonly token: string | undefined } | undefined;

  constructor(source: Source) {
    this.#tokens = splitAtNul(source.text());
  }

  async next(): Promise<string | undefined> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead !== undefined) return ahead.token;
    const next = await this.#tokens.next();
    return next.done === true ? undefined : next.value;
  }

  async peek(): Promise<string | undefined> {
    const token = await this.next();
    this.#ahead = { token };
    return token;
  }
}

async function* splitAtNul(text: AsyncIterable<string>): AsyncGenerator<string> {
  let held: string[] = [];
  for await (const chunk of text) {
    const parts = chunk.split("\0");
    const last = parts.pop() ?? "";
    for (const part of parts) {
      held.push(part);
      yield held.join("");
      held = [];
    }
    if (last !== "") held.push(last);
  }
  if (held.length > 0) yield held.join("");
}

function record(type: string, at: string, fields: Readonly<Record<string, unknown>>): ImportRow {
  return { kind: "record", type: `audit/${type}`, fields: defined(fields), at };
}

function words(text: string): string[] {
  return text.split(" ").filter((word) => word !== "");
}

/** Kept with its zone, as git writes it; `undefined` for a date that git could not write. */
function instant(text: string): string | undefined {
  return Number.isNaN(Date.parse(text)) ? undefined : text;
}

function count(text: string | undefined): number | undefined {
  return text === undefined || text === "-" ? undefined : Number(text);
}

function sum(counts: readonly (number | undefined)[]): number {
  return counts.reduce<number>((total, one) => total + (one ?? 0), 0);
}

function refuse(number: number, reason: string): never {
  throw new ImportError(
    "malformed",
    `not a git log: commit ${number}: ${reason}; write it with ${GIT_LOG_COMMAND}`,
    {
      at: `commit ${number}`,
    },
  );
}
