// A child process: how long the backup of the keys takes to bring up to date, with a key for each person.
import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { openLocalKeyService } from "@custody/core/keys/local-key-service";
import { initCustody } from "@custody/server/compose";
import { keyBackupOptions } from "@custody/server/key-operations";

import { placeIn, timed } from "./backup-installation.ts";
import { SCOPE } from "./custody-scope.ts";
import { latencyOf } from "./quantiles.ts";
import { answer, backupRequest } from "./run-request.ts";

const { directory, records: people, rounds } = backupRequest();
const place = placeIn(join(directory, "keys"));
await initCustody(place);
const keys = await openLocalKeyService({
  directory: place.dataDirectory,
  keyFile: place.keyFile,
  random: randomBytes,
  backup: keyBackupOptions(place, { clock: Date.now }),
});
const makeKey = (name: string): Promise<unknown> =>
  keys.subjectKey(SCOPE.tenant, name, { create: true });
for (let person = 0; person < people; person += 1) await makeKey(`person ${person}`);
const first = await timed(() => keys.backup.sync());
const idle: number[] = [];
const oneNew: number[] = [];
for (let round = 0; round < rounds; round += 1) {
  idle.push((await timed(() => keys.backup.sync())).seconds * 1_000);
  await makeKey(`new person ${round}`);
  oneNew.push((await timed(() => keys.backup.sync())).seconds * 1_000);
}
await keys[Symbol.asyncDispose]();
answer({
  keys: first.answer.keys,
  bytes: first.answer.bytes,
  firstSeconds: first.seconds,
  idleMs: latencyOf(idle).p50Ms,
  oneNewMs: latencyOf(oneNew).p50Ms,
});
