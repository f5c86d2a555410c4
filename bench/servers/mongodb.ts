import { MongoClient } from "mongodb";
import type { Collection } from "mongodb";

import type { EvidenceRecord } from "../generate.ts";
import type { RawBatch, RawStore } from "../baseline/raw-store.ts";
import { installationOf, serverAddress } from "./raw-server.ts";

/** A record under its id. */
export type RawDocument = EvidenceRecord & { readonly _id: string };

/** A batch's lines: parsing in the store's own thread is cheaper than handing over parsed records. */
export function documentLines({ bytes }: RawBatch): Uint8Array {
  return new Uint8Array(bytes);
}

/** Opens the collection that the raw client writes documents to and reads them from. */
export async function rawDocuments(
  url: string,
): Promise<{ readonly client: MongoClient; readonly documents: Collection<RawDocument> }> {
  const client = await new MongoClient(serverAddress(url)).connect();
  const database = client.db(`${installationOf(url)}_bench`);
  return { client, documents: database.collection<RawDocument>("session_evidence") };
}

/** Documents by insertMany, with the placement's indexes. */
export async function openRawMongodb(url: string): Promise<RawStore<Uint8Array>> {
  const { client, documents } = await rawDocuments(url);
  await documents.createIndex({ session_id: 1 });
  await documents.createIndex({ observed_at: 1 });
  await documents.createIndex({ vulnerability_ids: 1 });
  return {
    async write(bytes) {
      const lines = Buffer.from(bytes.buffer).toString("utf8").trimEnd().split("\n");
      const records = lines.map((line): RawDocument => {
        // Written by our own generator.
        const record = JSON.parse(line) as EvidenceRecord;
        return { _id: record.id, ...record };
      });
      await documents.insertMany(records, { ordered: false });
    },
    close: () => client.close(),
  };
}
