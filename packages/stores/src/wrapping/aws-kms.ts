import { openAwsKmsConnection } from "../drivers/aws-kms.ts";
import { StoreError } from "../errors.ts";
import type { WrappingService } from "./port.ts";

/**
 * A key in AWS KMS as a wrapping service: `aws-kms://REGION/KEY`. The context is its encryption context.
 *
 * What is wrapped names its key itself, and is opened by that one: an alias may be pointed at another
 * key without locking out what was wrapped before.
 *
 * @throws StoreError `refused` for a URL that cannot be used, `unsupported` without the client library.
 */
export async function openAwsKms(options: { readonly url: string }): Promise<WrappingService> {
  const connection = await openAwsKmsConnection(options.url);
  const { library, settings } = connection;
  return {
    name: settings.name,
    async wrap(secret, context) {
      const command = new library.EncryptCommand({
        KeyId: settings.keyId,
        Plaintext: secret,
        EncryptionContext: { ...context },
      });
      const { CiphertextBlob } = await connection.call("wrap a key", (client, http) =>
        client.send(command, http),
      );
      return required("wrap a key", CiphertextBlob);
    },
    async unwrap(wrapped, context) {
      const command = new library.DecryptCommand({
        CiphertextBlob: wrapped,
        EncryptionContext: { ...context },
      });
      const { Plaintext } = await connection.call("unwrap a key", (client, http) =>
        client.send(command, http),
      );
      return required("unwrap a key", Plaintext);
    },
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

function required(doing: string, answer: Uint8Array | undefined): Uint8Array {
  if (answer !== undefined && answer.byteLength > 0) return Uint8Array.from(answer);
  throw new StoreError("unavailable", `AWS KMS could not ${doing}: its answer is empty`);
}
