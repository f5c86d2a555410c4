/** The HTTP status of an error of the SDK; `undefined` when no answer came. */
export function awsStatusOf(cause: unknown): number | undefined {
  if (typeof cause !== "object" || cause === null || !("$metadata" in cause)) return undefined;
  const { httpStatusCode } = cause.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode;
}

/** The system's code where there is one; messages of the SDK may quote addresses, signatures and names of keys. */
export function awsFailureOf(cause: unknown): string {
  if (!(cause instanceof Error)) return "unknown";
  return "code" in cause ? `${cause.name} ${String(cause.code)}` : cause.name;
}
