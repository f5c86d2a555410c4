/**
 * WrappingService: a key outside of the installation, in a key management service, that wraps small
 * secrets and never leaves it.
 *
 * Each call is one short exchange with the service; nothing is sent when it is opened.
 *
 * @throws StoreError from `wrap` and `unwrap`: `unavailable` when the service cannot be reached in
 *   time, is overloaded or sealed, denies access or has the key disabled; `refused` when there is no
 *   such key, the key cannot do this, or what is to be unwrapped does not open. No message repeats a
 *   credential or a secret.
 */
export interface WrappingService extends AsyncDisposable {
  /** Names the key for people: its URL without credentials and options. */
  readonly name: string;

  /**
   * Wraps a secret of at most 4,096 bytes (AWS KMS, API_Encrypt), bound to the context: with another
   * one it does not open. The secret and the context pass over the connection to the service.
   */
  wrap(secret: Uint8Array, context: WrappingContext): Promise<Uint8Array>;

  /** Opens what was wrapped, also when the key has been rotated since. */
  unwrap(wrapped: Uint8Array, context: WrappingContext): Promise<Uint8Array>;
}

/** What a wrapped secret is bound to. It is no secret: services write it into their audit logs. */
export type WrappingContext = Readonly<Record<string, string>>;
