import { randomBytes } from "node:crypto";

import pg from "pg";

import { serverName } from "./engine-server.ts";

/**
 * A database of a test file's own on a given server, with a role that owns nothing and is bound by
 * row-level security; both are dropped in the end. A file makes it before its tests, so that their URLs
 * are known while they are collected.
 */
export class TestDatabase implements AsyncDisposable {
  readonly name: string = serverName(`database ${randomBytes(8).toString("hex")}`);
  readonly role: string = `${this.name}_app`;
  readonly #server: string;

  constructor(server: string) {
    this.#server = server;
  }

  async create(): Promise<void> {
    await query(this.#server, `CREATE DATABASE ${this.name}`);
    await query(this.#server, `CREATE ROLE ${this.role}`);
  }

  /** The database's URL, with options besides those that the server's has. */
  url(options: Readonly<Record<string, string>> = {}): string {
    const url = new URL(this.#server);
    url.pathname = `/${this.name}`;
    for (const [name, value] of Object.entries(options)) url.searchParams.set(name, value);
    return url.href;
  }

  /** Runs SQL behind the store's back, as the user who logs in; answers the rows of one statement. */
  async run(text: string, values: readonly unknown[] = []): Promise<readonly TestRow[]> {
    return query(this.url(), text, values);
  }

  /** A client in the database, to hold transactions with. */
  async client(): Promise<pg.Client> {
    return connected(this.url());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await query(this.#server, `DROP DATABASE ${this.name} WITH (FORCE)`);
    await query(this.#server, `DROP ROLE ${this.role}`);
  }
}

type TestRow = Readonly<Record<string, unknown>>;

async function query(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly TestRow[]> {
  const client = await connected(url);
  try {
    // Several statements can only be sent without values.
    const result = await (values.length === 0
      ? client.query<TestRow>(text)
      : client.query<TestRow>(text, [...values]));
    return result.rows;
  } finally {
    await client.end();
  }
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  return client;
}
