import type * as Kms from "@aws-sdk/client-kms";
import type { KMSClient, KMSClientConfig } from "@aws-sdk/client-kms";

import { mapAwsKmsError } from "./aws-kms-errors.ts";
import { readAwsKmsSettings } from "./aws-kms-settings.ts";
import type { AwsKmsSettings } from "./aws-kms-settings.ts";
import { withinMilliseconds } from "./call-limit.ts";
import { loadClientLibrary } from "./client-library.ts";

/** AwsKmsConnection: a client of one region of AWS KMS, and the key that a URL names there. */
export interface AwsKmsConnection extends AsyncDisposable {
  readonly library: typeof Kms;
  readonly settings: AwsKmsSettings;
  /** Sends what `work` makes, within the time limit. @throws StoreError as `mapAwsKmsError` says. */
  call<Result>(
    doing: string,
    work: (client: KMSClient, http: { readonly abortSignal: AbortSignal }) => Promise<Result>,
  ): Promise<Result>;
}

// Throttling is common at the service's limits per account; the library waits between attempts.
const ATTEMPTS_MAX = 3;

/** Makes a client for the key that the URL names; nothing is sent before the first call. */
export async function openAwsKmsConnection(url: string): Promise<AwsKmsConnection> {
  const settings = readAwsKmsSettings(url);
  const library = await loadClientLibrary(() => import("@aws-sdk/client-kms"), {
    product: "AWS KMS",
    install: "@aws-sdk/client-kms@3",
  });
  const client = new library.KMSClient(clientConfig(settings));
  return {
    library,
    settings,
    call: async (doing, work) => {
      try {
        return await withinMilliseconds(
          settings.timeoutMs,
          `AWS KMS, asked to ${doing},`,
          (abortSignal) => work(client, { abortSignal }),
        );
      } catch (cause) {
        throw mapAwsKmsError(doing, cause);
      }
    },
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      await Promise.resolve();
    },
  };
}

function clientConfig(settings: AwsKmsSettings): KMSClientConfig {
  const { region, endpoint, credentials, tls, connectMs } = settings;
  const secure = {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls?.isVerified ?? true,
  };
  return {
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    maxAttempts: ATTEMPTS_MAX,
    requestHandler: { connectionTimeout: connectMs, httpsAgent: secure },
    // Its log would tell what is wrapped.
    logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  };
}
