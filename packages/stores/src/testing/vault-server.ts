import { randomUUID } from "node:crypto";

/** Keys of a test's own in the transit engine of a Vault, made with the token of its URL. */
export interface VaultKeys {
  /** Makes a key and answers its URL. */
  readonly make: (options?: {
    readonly type?: string;
    readonly derived?: boolean;
  }) => Promise<string>;
  /** The URL of a key by its name, made or not. */
  readonly urlOf: (key: string) => string;
  /** Whether there is a key under a URL. */
  readonly isThere: (url: string) => Promise<boolean>;
  readonly rotate: (url: string) => Promise<void>;
  /** Changes settings of a key, such as `min_decryption_version`. */
  readonly configure: (url: string, settings: object) => Promise<void>;
  /** The same URL with a new token, which may do to the key what is named and nothing else. */
  readonly withRights: (url: string, operations: readonly string[]) => Promise<string>;
}

/** Reaches the transit engine of the server that `CUSTODY_TEST_VAULT_URL` names. */
export function vaultKeys(server: string): VaultKeys {
  const { hostname, port, password, pathname } = new URL(server);
  const mount = pathname.split("/").slice(1, -1).join("/");
  const urlOf = (key: string): string =>
    `vault://:${password}@${hostname}:${port}/${mount}/${key}?tls=false`;
  const ask = (method: string, path: string, body?: object): Promise<Response> =>
    fetch(`http://${hostname}:${port}/v1/${path}`, {
      method,
      headers: { "X-Vault-Token": decodeURIComponent(password) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    });
  const demand = async (method: string, path: string, body?: object): Promise<unknown> => {
    const answer = await ask(method, path, body);
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? undefined : await answer.json();
  };
  const mountTransit = async (): Promise<void> => {
    const answer = await ask("POST", `sys/mounts/${mount}`, { type: "transit" });
    // 400: it is mounted already.
    if (!answer.ok && answer.status !== 400) throw new Error(`${mount}: ${answer.status}`);
  };
  return {
    urlOf,
    async make(options = {}) {
      await mountTransit();
      const key = `t-${randomUUID()}`;
      await demand("POST", `${mount}/keys/${key}`, options);
      return urlOf(key);
    },
    isThere: async (url) => (await ask("GET", `${mount}/keys/${keyOf(url)}`)).ok,
    rotate: async (url) => void (await demand("POST", `${mount}/keys/${keyOf(url)}/rotate`, {})),
    configure: async (url, settings) =>
      void (await demand("POST", `${mount}/keys/${keyOf(url)}/config`, settings)),
    async withRights(url, operations) {
      const policy = operations
        .map((one) => `path "${mount}/${one}/${keyOf(url)}" { capabilities = ["update", "read"] }`)
        .join("\n");
      const name = `t-${randomUUID()}`;
      await demand("POST", `sys/policies/acl/${name}`, { policy });
      const made = (await demand("POST", "auth/token/create", { policies: [name] })) as {
        readonly auth: { readonly client_token: string };
      };
      return url.replace(/:[^:@/]*@/, `:${made.auth.client_token}@`);
    },
  };
}

function keyOf(url: string): string {
  return new URL(url).pathname.split("/").at(-1) ?? "";
}
