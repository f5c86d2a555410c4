import { randomBytes } from "node:crypto";

import { openLocalKeyService } from "../keys/local-key-service.ts";

// A process for a test to kill: makes keys one after the other and tells each once it was answered.
const [keyFile = "", directory = ""] = process.argv.slice(2);
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const keys = await openLocalKeyService({ keyFile, directory, random });
for (let number = 0; number < 10_000; number += 1) {
  const subject = `subject ${number}`;
  const key = await keys.subjectKey("acme", subject, { create: true });
  process.send?.([subject, Buffer.from(key).toString("hex")]);
}
