import { stringifyJson } from "@custody/contract/json";
import { compilePath } from "@custody/contract/field-path";
import type { FoundPage, FoundRecord } from "@custody/core/custody";
import type { Command } from "commander";

import { CommandError } from "../command-error.ts";
import { given } from "../given.ts";
import { countOf } from "../output/quantity.ts";
import { indentedJson, isNumeric, valueText } from "../output/value-text.ts";
import { renderTable } from "../output/table.ts";
import { visibleText } from "../output/visible-text.ts";
import { recordJson } from "../record-json.ts";
import { aboutType, refuseUnknownType, withSession } from "../session.ts";
import type { CommandContext, Session } from "../session.ts";
import { filterOf } from "../values/filter-argument.ts";
import type { FilterOptions } from "../values/filter-argument.ts";
import { collect, collectNames, parseCount, parseOrder } from "../values/numbers-and-names.ts";
import { EXPLAIN, showPlan } from "./plan.ts";

interface FindArguments extends FilterOptions {
  readonly sort?: readonly string[];
  readonly limit?: number;
  readonly cursor?: string;
  readonly count?: boolean;
  readonly fields?: readonly string[];
  readonly page?: boolean;
  readonly explain?: boolean;
}

/** Registers `get` and `find`. */
export function addReadCommands(program: Command, context: CommandContext): void {
  program
    .command("get <type> <id>")
    .summary("show one record as the journal has it")
    .description("Shows one record as the journal has it: always current.")
    .action((type: string, id: string, _options, command: Command) =>
      withSession(context, command, (session) => getRecord(session, type, id)),
    );

  program
    .command("find <type>")
    .summary("list records that meet a filter")
    .description(
      "Lists records that meet a filter. With --json each is one line, and without --limit all are printed.",
    )
    .option("--filter <json|@file>", "a filter in MongoDB's form")
    .option("--where <field=value>", "a condition; also != < <= > >=; may be repeated", collect)
    .option("--sort <field[:desc]>", "may be repeated or separated by commas", collectNames)
    .option("--limit <n>", "records at most (100; with --json all)", parseCount)
    .option("--cursor <cursor>", "go on where a page ended")
    .option("--count", "print only how many there are")
    .option("--fields <a,b>", "only these fields; paths may be dotted", collectNames)
    .option(...EXPLAIN)
    .option("--page", "with --json: one object with the records and the cursor of the next page")
    .action((type: string, options: FindArguments, command: Command) =>
      withSession(context, command, (session) =>
        aboutType(session, type, () => findRecords(session, type, options)),
      ),
    );
}

async function getRecord(session: Session, type: string, id: string): Promise<void> {
  const { custody, scope, show, paint } = session;
  const record = await aboutType(session, type, () => custody.get(scope, type, id));
  if (record === undefined) {
    await refuseUnknownType(session, type);
    throw new CommandError("not-found", `there is no ${type} with the id ${JSON.stringify(id)}`, {
      next: `\`custody find ${type}\` lists some`,
    });
  }
  await show(recordJson(record), () => {
    const title = visibleText(`${record.type} ${record.id}`);
    const version = paint("faint", `version ${record.version}`);
    return `${paint("title", title)}  ${version}\n${indentedJson(record.fields)}\n`;
  });
}

async function findRecords(session: Session, type: string, options: FindArguments): Promise<void> {
  const { custody, scope, settings, show, terminal, atLeast } = session;
  const filter = await filterOf(options, terminal.directory);
  if (options.count === true) {
    const { count, checkpoint } = await custody.count(scope, type, given({ filter, ...atLeast }));
    return show({ count, checkpoint }, () => `${countOf(count, "record")}\n`);
  }
  const sort = options.sort?.map((text) => {
    const { name, direction } = parseOrder(text);
    return { path: name, direction };
  });
  if (options.explain === true) {
    const question = given({ filter, sort, limit: options.limit, cursor: options.cursor });
    return showPlan(session, custody.explain.find(scope, type, { ...question, ...atLeast }));
  }
  const isAll = settings.isJson && options.page !== true && options.limit === undefined;
  const limit = isAll ? Infinity : (options.limit ?? DEFAULT_LIMIT);
  const ask = (size: number, cursor: string | undefined): Promise<FoundPage> =>
    custody.find(scope, type, given({ filter, sort, limit: size, cursor, ...atLeast }));
  if (settings.isJson && options.page !== true) {
    return printLines(session, options, { limit, ask });
  }
  const page = await collectPage(limit, options.cursor, ask);
  const records = page.records.map((record) => recordJson(record, options.fields));
  const { cursor, checkpoint } = page;
  await show({ records, ...given({ cursor }), checkpoint }, () =>
    renderRecords(session, page, options.fields),
  );
}

const DEFAULT_LIMIT = 100;
// Records of several kilobytes each: a page of 500 stays within a few megabytes.
const PAGE_SIZE = 500;

type Ask = (size: number, cursor: string | undefined) => Promise<FoundPage>;

async function printLines(
  session: Session,
  options: FindArguments,
  { limit, ask }: { readonly limit: number; readonly ask: Ask },
): Promise<void> {
  let left = limit;
  let cursor = options.cursor;
  do {
    const page = await ask(Math.min(left, PAGE_SIZE), cursor);
    const lines = page.records.map(
      (record) => `${stringifyJson(recordJson(record, options.fields))}\n`,
    );
    if (lines.length > 0) await session.terminal.write(lines.join(""));
    left -= lines.length;
    cursor = page.cursor;
  } while (cursor !== undefined && left > 0);
}

async function collectPage(limit: number, from: string | undefined, ask: Ask): Promise<FoundPage> {
  let page = await ask(Math.min(limit, PAGE_SIZE), from);
  const records: FoundRecord[] = [...page.records];
  while (page.cursor !== undefined && records.length < limit) {
    page = await ask(Math.min(limit - records.length, PAGE_SIZE), page.cursor);
    records.push(...page.records);
  }
  return { ...page, records };
}

// More columns than this are unreadable, and narrower ones too; --fields chooses.
const COLUMNS_SHOWN = 6;
const COLUMN_WIDTH = 20;
const ID_WIDTH = 28;

function renderRecords(
  session: Session,
  page: FoundPage,
  fields: readonly string[] | undefined,
): string {
  const { paint, terminal } = session;
  if (page.records.length === 0) return "no record meets that\n";
  const room = Math.floor((terminal.columns - ID_WIDTH) / COLUMN_WIDTH);
  const most = Math.min(COLUMNS_SHOWN, Math.max(1, room));
  const names = fields ?? chooseFields(page.records).slice(0, most);
  const columns = names.map((name) => {
    const read = compilePath(name);
    const values = page.records.map(({ fields: record }) => {
      const found = read(record);
      return found.length > 1 ? found : found[0];
    });
    return { name, values, isRight: isNumeric(values) };
  });
  const table = renderTable(
    [
      { title: "id", isWhole: true },
      ...columns.map(({ name, isRight }) => ({
        title: name,
        align: isRight ? ("right" as const) : ("left" as const),
      })),
    ],
    page.records.map((record, row) => [
      { text: record.id, style: "name" },
      ...columns.map(({ values }) => valueText(values[row])),
    ]),
    { paint, width: terminal.columns, indent: 0 },
  );
  const more =
    page.cursor === undefined ? "" : `there are more: go on with --cursor ${page.cursor}\n`;
  return `${table}${paint("faint", `${countOf(page.records.length, "record")}, as of entry ${page.checkpoint}\n${more}`)}`;
}

/** The first short fields of the records: lists and objects say little in a table. */
function chooseFields(records: readonly FoundRecord[]): readonly string[] {
  const names = new Set<string>();
  for (const { fields, id } of records) {
    for (const [name, value] of Object.entries(fields)) {
      const isShort = typeof value !== "object" && value !== undefined && value !== id;
      if (isShort && !name.includes(".") && !name.endsWith("[]")) names.add(name);
    }
  }
  return [...names];
}
