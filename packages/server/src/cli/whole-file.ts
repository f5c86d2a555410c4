import { open, rename, rm } from "node:fs/promises";

/**
 * Writes a file whole or not at all: the bytes go to a neighbour that takes the name at the end.
 * Answers how many bytes there were.
 */
export async function writeFileWhole(
  path: string,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  const partial = `${path}.partial`;
  let size = 0;
  try {
    await using file = await open(partial, "w", 0o600);
    for await (const chunk of bytes) {
      await file.writeFile(chunk);
      size += chunk.byteLength;
    }
    await file.sync();
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  await rename(partial, path);
  return size;
}
