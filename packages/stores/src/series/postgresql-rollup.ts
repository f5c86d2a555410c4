import { prepared, sql } from "../drivers/postgresql-sql.ts";
import type { PgFragment } from "../drivers/postgresql-sql.ts";
import type { Postgresql } from "../drivers/postgresql.ts";
import { verbatim } from "../drivers/sql-fragment.ts";
import type { Scope } from "../scope.ts";
import { rollupEnd } from "./bucket-answer.ts";
import type { RollupRange } from "./bucket-answer.ts";
import { layoutWidth, requireMeasurement } from "./measurement-layout.ts";
import { bucketSql } from "./postgresql-query.ts";
import { slots } from "./postgresql-tables.ts";
import type { HeldSeries, RollupName, SeriesName, SeriesRegistry } from "./postgresql-tables.ts";

// Points of about a month are folded in one transaction: a partition's.
const WINDOW_MS = 30 * 86_400_000;

/**
 * Folds whole buckets that end by `before`; answers how many were written.
 *
 * A bucket is computed from its points. Where fewer of them are left than were folded, points were
 * dropped since, and the bucket stays as it is.
 */
export async function foldPoints(
  pg: Postgresql,
  registry: SeriesRegistry,
  {
    scope,
    name,
    rollup,
  }: { readonly scope: Scope; readonly name: SeriesName; readonly rollup: RollupRange },
): Promise<number> {
  const space = pg.space(scope);
  const doing = `fold ${name.name}`;
  const begun = await pg.transaction(
    scope,
    doing,
    async (session) => {
      const held = await registry.require(session, space, name);
      const measurement = requireMeasurement(held.layout, rollup.measurement).number;
      const end = rollupEnd(rollup);
      const made = { tableNo: held.tableNo, measurement, bucketMs: rollup.bucketMs };
      await session.run(registry.noteRollup(space, made));
      const width = Math.max(1, Math.ceil(WINDOW_MS / rollup.bucketMs)) * rollup.bucketMs;
      const rows = await session.rows(sql`SELECT DISTINCT
        ${verbatim(bucketSql("_at", width))} AS start FROM ${verbatim(held.points)}
        WHERE _space = ${space} AND _measurement = ${measurement} AND _at < ${end} ORDER BY start`);
      const windows = rows.map((row) => ({
        from: Number(row["start"]),
        to: Math.min(Number(row["start"]) + width, end),
      }));
      return { held, made, windows };
    },
    { durability: "projection" },
  );
  let written = 0;
  for (const window of begun.windows) {
    const folding = folded(begun.held, { ...begun.made, space, ...window });
    // Each in a transaction of its own: folding again is no harm.
    const [result] = await pg.ask(scope, doing, [folding]);
    written += result?.count ?? 0;
  }
  return written;
}

interface FoldWindow extends RollupName {
  readonly space: string;
  readonly from: number;
  readonly to: number;
}

const KEPT = ["count", "sum", "min", "max"] as const;

function folded(held: HeldSeries, window: FoldWindow): PgFragment {
  const { space, measurement, bucketMs, from, to } = window;
  const { tags, fields } = layoutWidth(held.layout);
  const tagNames = slots(tags, (slot) => `tag_${slot}`);
  const bucket = bucketSql("_at", bucketMs);
  const kept = slots(fields, String).flatMap((slot) => KEPT.map((fn) => `${fn}_${slot}`));
  const computed = slots(fields, String).flatMap((slot) =>
    KEPT.map((fn) => `${fn}(field_${slot})`),
  );
  const columns = ["_space", "measurement", "bucket_ms", "bucket", "tag_key", ...tagNames];
  // A text of any length may be a tag; a key may not be.
  const tagKey = `sha256(convert_to(ROW(${tagNames.join(", ")})::text, 'UTF8'))`;
  const groups = ["_space", bucket, ...tagNames].join(", ");
  return prepared`INSERT INTO ${verbatim(held.rollups)} AS old
      (${verbatim([...columns, "points", ...kept].join(", "))})
    SELECT _space, ${measurement}::int, ${bucketMs}::bigint,
      ${verbatim([bucket, tagKey, ...tagNames, "count(*)", ...computed].join(", "))}
    FROM ${verbatim(held.points)}
    WHERE _space = ${space} AND _measurement = ${measurement} AND _at >= ${from} AND _at < ${to}
    GROUP BY ${verbatim(groups)}
    ON CONFLICT (_space, measurement, bucket_ms, bucket, tag_key) DO UPDATE
    SET points = excluded.points${verbatim(kept.map((name) => `, ${name} = excluded.${name}`).join(""))}
    WHERE excluded.points >= old.points AND (${verbatim(differences(fields))})`;
}

function differences(fields: number): string {
  return [
    "excluded.points <> old.points",
    ...slots(fields, String).flatMap((slot) => [
      ...["count", "min", "max"].map(
        (fn) => `excluded.${fn}_${slot} IS DISTINCT FROM old.${fn}_${slot}`,
      ),
      // Doubles added in another order differ in their last digits without meaning anything else.
      `coalesce(abs(excluded.sum_${slot} - old.sum_${slot}) > 1e-12 * abs(excluded.sum_${slot}), false)`,
    ]),
  ].join(" OR ");
}
