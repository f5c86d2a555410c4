import { randomBytes } from "node:crypto";

import { expect, test } from "vitest";

import type { SegmentRow } from "@custody/stores/relational/journal";

import { journalContents } from "../backup/journal-contents.ts";
import { restoreBackup } from "../backup/restore.ts";
import { openInstallation, scope } from "../testing/installation.ts";
import type { Installation } from "../testing/installation.ts";
import { openRestorePlace } from "../testing/restore-place.ts";
import { attempt } from "../testing/sample-types.ts";

const segmentsOf = async ({ stores }: Installation): Promise<readonly SegmentRow[]> =>
  (await stores.journal()).segments(scope, undefined, 100);

const filesOf = async ({ stores }: Installation): Promise<readonly string[]> => {
  const found = await (await stores.blob()).list(scope, "segments/", { limit: 100 });
  return found.map(({ key }) => key);
};

/** Lines that entries name, of those that lie in segments. */
async function linesNamed({ stores }: Installation): Promise<number> {
  const entries = await (await stores.journal()).entries(scope, { after: 0, limit: 1_000 });
  return entries
    .filter(({ location }) => location.kind === "segment")
    .reduce((sum, { count }) => sum + count, 0);
}

test.each([
  ["small", 1_000],
  // Together beyond the size below which segments are merged.
  ["large", 900_000],
])(
  "a %s segment that a restore has cut in its middle is moved once, and is then gone",
  async (_, bytes) => {
    await using installation = await openInstallation();
    const { custody, clock, stores } = installation;
    const receivedAt: number[] = [];
    for (let number = 0; number < 12; number += 1) {
      clock.nowMs += 1_000;
      const prompt = randomBytes(bytes).toString("latin1");
      const put = [{ fields: attempt(`r${number}`, { prompt }) }];
      const receipt = await custody.commit(scope, [{ type: "sample/attempts", put }]);
      receivedAt.push(receipt.receivedAt);
    }
    await custody.compact(scope);
    const whole = (await segmentsOf(installation)).find(({ lines }) => lines === 12);
    const live = { journal: await stores.journal(), blob: await stores.blob() };
    await using place = await openRestorePlace(installation);
    const source = await journalContents(live, { backupId: "b1", repository: "r1" });
    await restoreBackup(source, place.target, { to: { time: receivedAt[10] ?? 0 } });
    await using restored = await place.open();
    expect((await segmentsOf(restored)).map(({ segmentId, lines }) => [segmentId, lines])).toEqual([
      [whole?.segmentId, 12],
    ]);
    await restored.custody.compact(scope);
    const [moved, ...more] = await segmentsOf(restored);
    expect(more).toEqual([]);
    expect(moved?.segmentId).not.toBe(whole?.segmentId);
    expect(moved?.lines).toBe(await linesNamed(restored));
    expect(await filesOf(restored)).toEqual([moved?.blobKey]);
    expect((await restored.custody.get(scope, "sample/attempts", "r10"))?.id).toBe("r10");
    expect(await restored.custody.get(scope, "sample/attempts", "r11")).toBeUndefined();
    expect((await restored.custody.verify(scope)).fault).toBeUndefined();
    await restored.custody.compact(scope);
    const isKept = (await filesOf(restored)).includes(moved?.blobKey ?? "");
    // What is large and whole is left as it is from then on; what is small is merged with what came since.
    expect(isKept).toBe(bytes > 1_000);
  },
  60_000,
);
