import {
  CreateAliasCommand,
  CreateKeyCommand,
  KMSClient,
  RotateKeyOnDemandCommand,
  UpdateAliasCommand,
} from "@aws-sdk/client-kms";

/** Keys of a test's own on a server that speaks the interface of AWS KMS. */
export interface KmsKeys extends Disposable {
  /** Makes a key and answers its URL. */
  readonly make: () => Promise<string>;
  /** The same under another key's name, or an alias. */
  readonly urlOf: (keyId: string) => string;
  readonly alias: (name: string, url: string) => Promise<string>;
  /** Points an alias at another key. */
  readonly point: (alias: string, url: string) => Promise<void>;
  readonly rotate: (url: string) => Promise<void>;
}

/** Reaches the keys of the server that `CUSTODY_TEST_KMS_URL` names. */
export function kmsKeys(server: string): KmsKeys {
  const [, user = "", password = "", region = "", endpoint = ""] =
    /^aws-kms:\/\/([^:]*):([^@]*)@([^/]+)\/.*[?&]endpoint=([^&]*)/.exec(server) ?? [];
  const client = new KMSClient({
    region,
    endpoint: decodeURIComponent(endpoint),
    credentials: { accessKeyId: user, secretAccessKey: password },
  });
  const urlOf = (keyId: string): string =>
    `aws-kms://${user}:${password}@${region}/${keyId}?endpoint=${endpoint}`;
  return {
    urlOf,
    async make() {
      const { KeyMetadata } = await client.send(new CreateKeyCommand({ Description: "a test's" }));
      return urlOf(KeyMetadata?.KeyId ?? "");
    },
    async alias(name, url) {
      const AliasName = `alias/${name}`;
      await client.send(new CreateAliasCommand({ AliasName, TargetKeyId: keyOf(url) }));
      return urlOf(AliasName);
    },
    async point(alias, url) {
      const command = { AliasName: keyOf(alias), TargetKeyId: keyOf(url) };
      await client.send(new UpdateAliasCommand(command));
    },
    rotate: async (url) =>
      void (await client.send(new RotateKeyOnDemandCommand({ KeyId: keyOf(url) }))),
    [Symbol.dispose]: () => client.destroy(),
  };
}

function keyOf(url: string): string {
  return new URL(url).pathname.slice(1);
}
