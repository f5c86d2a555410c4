import { StoreError } from "../errors.ts";

/**
 * Loads a server's client library when its engine is configured, and not before.
 *
 * @param library.install What `npm install` is told: `pg@8`.
 * @throws StoreError `unsupported` with the install command when it is not there.
 */
export async function loadClientLibrary<Library>(
  load: () => Promise<Library>,
  library: { readonly product: string; readonly install: string },
): Promise<Library> {
  try {
    return await load();
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    const { product, install } = library;
    throw new StoreError(
      "unsupported",
      `${product} needs a client library that is not installed: run \`npm install ${install}\``,
      { cause },
    );
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ERR_MODULE_NOT_FOUND";
}
