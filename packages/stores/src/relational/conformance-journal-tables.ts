import { expect, test } from "vitest";

import { scopeFor } from "../testing/scope.ts";
import { TENANT_A, commitEntries } from "./conformance-journal-fixture.ts";
import type { JournalStore, TableWrite } from "./journal.ts";

const USERS: Omit<TableWrite, "rows"> = {
  table: "identity__user",
  columns: [
    { name: "mail", type: "text" },
    { name: "team", type: "text" },
    { name: "age", type: "integer" },
    { name: "score", type: "real" },
    { name: "tags", type: "text[]" },
  ],
  unique: [["mail"], ["team", "age"]],
};

type Values = TableWrite["rows"][number]["values"];

/** Tables of transactional types. */
export function describeJournalTables(current: () => JournalStore): void {
  const write = (
    rows: readonly (readonly [id: string, values?: Values])[],
    options: { readonly scope?: typeof TENANT_A; readonly table?: Omit<TableWrite, "rows"> } = {},
  ) => {
    const { scope = TENANT_A, table = USERS } = options;
    const tables = [
      {
        ...table,
        rows: rows.map(([id, values]) =>
          values === undefined ? { id, sequence: 5 } : { id, sequence: 5, values },
        ),
      },
    ];
    return commitEntries(current(), [{ ids: rows.map(([id]) => id) }], { scope, tables });
  };
  const rows = (scope = TENANT_A) => current().tableRows(scope, "identity__user", { limit: 100 });

  test("rows are written, replaced, deleted and listed by id as canonical JSON", async () => {
    await write([
      ["b", ["b@x", "t'\"; --", 9_007_199_254_740_993n, 0.5, '["x"]']],
      ["a", ["a@x", null, 3, null, null]],
      ["c", ["c@x", null, null, null, null]],
    ]);
    await write([["a", ["new@x", null, 4, -1, null]], ["c"], ["none"]]);
    expect(await rows()).toEqual([
      {
        id: "a",
        sequence: 5,
        columns: '{"age":4,"mail":"new@x","score":-1,"tags":null,"team":null}',
      },
      {
        id: "b",
        sequence: 5,
        columns:
          '{"age":9007199254740993,"mail":"b@x","score":0.5,"tags":"[\\"x\\"]","team":"t\'\\"; --"}',
      },
    ]);
    const page = { after: "a", limit: 1 };
    expect(await current().tableRows(TENANT_A, "identity__user", page)).toMatchObject([
      { id: "b" },
    ]);
    expect(await current().tableRows(TENANT_A, "identity__none", { limit: 1 })).toEqual([]);
  });

  test("a violated constraint rejects the commit, and names the table and its columns", async () => {
    await write([["a", ["a@x", "red", 1, null, null]]]);
    const sameMail = write([["b", ["a@x", "blue", 1, null, null]]]);
    await expect(sameMail).rejects.toMatchObject({
      name: "StoreError",
      code: "conflict",
      message: "identity__user: another row has the same mail",
    });
    const samePair = write([["b", ["b@x", "red", 1, null, null]]]);
    await expect(samePair).rejects.toMatchObject({
      code: "conflict",
      message: "identity__user: another row has the same team, age",
    });
    expect((await current().head(TENANT_A))?.sequence).toBe(1);
    expect(await rows()).toHaveLength(1);
    expect(await current().lookup(TENANT_A, "lab/sample", ["b"])).toEqual([undefined]);
  });

  test("a value that a row of the same commit gives up is free", async () => {
    await write([["a", ["a@x", null, null, null, null]]]);
    await write([["b", ["a@x", null, null, null, null]], ["a"]]);
    expect((await rows()).map(({ id }) => id)).toEqual(["b"]);
  });

  test("null is like no other null, and tenants do not constrain each other", async () => {
    await write([
      ["a", ["same@x", "red", null, null, null]],
      ["b", [null, "red", null, null, null]],
      ["c", [null, null, null, null, null]],
    ]);
    const other = scopeFor("tenant-b");
    await write([["a", ["same@x", "red", null, null, null]]], { scope: other });
    expect(await rows()).toHaveLength(3);
    expect(await rows(other)).toHaveLength(1);
  });

  test("a later version of the type may add columns, and change what is unique", async () => {
    await write([["a", ["a@x", null, null, null, null]]]);
    const table = {
      ...USERS,
      columns: [
        { name: "mail", type: "text" },
        { name: "nick'\"name", type: "text" },
      ],
      unique: [["nick'\"name"]],
    };
    await write([["b", ["a@x", "n"]]], { table });
    await expect(write([["c", ["c@x", "n"]]], { table })).rejects.toMatchObject({
      code: "conflict",
      message: "identity__user: another row has the same nick'\"name",
    });
    expect((await rows()).map(({ columns }) => columns)).toEqual([
      '{"mail":"a@x","nick\'\\"name":null}',
      '{"mail":"a@x","nick\'\\"name":"n"}',
    ]);
  });

  test("a constraint that stored rows violate already rejects the commit that declares it", async () => {
    await write([
      ["a", ["a@x", "red", null, null, null]],
      ["b", ["b@x", "red", null, null, null]],
    ]);
    const table = { ...USERS, unique: [["team"]] };
    const declared = write([["c", ["c@x", "blue", null, null, null]]], { table });
    await expect(declared).rejects.toMatchObject({
      code: "conflict",
      message: "identity__user: another row has the same team",
    });
    await write([["c", ["c@x", "red", null, null, null]]]);
    expect(await rows()).toHaveLength(3);
  });
}
