import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { makeTemporaryDirectory } from "@custody/stores/testing/temporary-directory";
import { expect, test } from "vitest";

import { resolveSettings } from "./settings.ts";
import { recordedTerminal } from "./testing/recorded-terminal.ts";

function settingsWith(
  options: Parameters<typeof resolveSettings>[0],
  environment: Readonly<Record<string, string>> = {},
): ReturnType<typeof resolveSettings> {
  const { terminal } = recordedTerminal({
    directory: "/srv/ana/project",
    environment: { HOME: "/srv/ana", ...environment },
  });
  return resolveSettings(options, terminal);
}

test("without options the data lie beside the work and the key in the user's configuration", () => {
  expect(settingsWith({})).toEqual({
    dataDirectory: "/srv/ana/project/custody-data",
    // printf /srv/ana/project/custody-data | sha256sum
    keyFile: "/srv/ana/.config/custody/custody-data-7ede62f5.key",
    tenant: "default",
    engines: {},
    isJson: false,
    hasColor: false,
  });
});

test("an option comes before a variable, and an empty variable is none", () => {
  const environment = {
    CUSTODY_DATA: "/data",
    CUSTODY_KEY_FILE: "/keys/a.key",
    CUSTODY_TENANT: "acme",
  };
  expect(settingsWith({}, environment)).toMatchObject({
    dataDirectory: "/data",
    keyFile: "/keys/a.key",
    tenant: "acme",
  });
  expect(settingsWith({ data: "d", keyFile: "../k", tenant: "other" }, environment)).toMatchObject({
    dataDirectory: "/srv/ana/project/d",
    keyFile: "/srv/ana/k",
    tenant: "other",
  });
  expect(settingsWith({}, { CUSTODY_TENANT: "", CUSTODY_DATA: "" })).toMatchObject({
    tenant: "default",
    dataDirectory: "/srv/ana/project/custody-data",
  });
});

test("an owner is named by an option or a variable, and must be a name", () => {
  const environment = { CUSTODY_OWNER: "ana" };
  expect(settingsWith({}, environment).owner).toBe("ana");
  expect(settingsWith({ owner: "ben" }, environment).owner).toBe("ben");
  expect(settingsWith({}, { CUSTODY_OWNER: "" })).not.toHaveProperty("owner");
  expect(() => settingsWith({ owner: "" })).toThrow(expect.objectContaining({ code: "usage" }));
});

test("XDG_CONFIG_HOME moves the default key", () => {
  expect(settingsWith({ data: "/d" }, { XDG_CONFIG_HOME: "/conf" }).keyFile).toMatch(
    /^\/conf\/custody\/d-[0-9a-f]{8}\.key$/,
  );
});

test("data directories of one name in two places have two keys", () => {
  expect(settingsWith({ data: "/a/d" }).keyFile).not.toBe(settingsWith({ data: "/b/d" }).keyFile);
});

test("a key file in the data directory is refused, one beside it is not", () => {
  const usage: unknown = expect.objectContaining({ code: "usage" });
  expect(() => settingsWith({ data: "/d", keyFile: "/d/keys/k" })).toThrow(usage);
  expect(() => settingsWith({ data: "/d", keyFile: "/d" })).toThrow(usage);
  expect(settingsWith({ data: "/d", keyFile: "/d.key" }).keyFile).toBe("/d.key");
});

test("a tenant's name is checked", () => {
  expect(() => settingsWith({ tenant: "../x" })).toThrow(
    expect.objectContaining({ code: "invalid-id" }),
  );
});

test("a server plays a role when its URL is given, or a file that holds it", async () => {
  await using directory = await makeTemporaryDirectory();
  const file = join(directory.path, "search-url");
  await writeFile(file, "opensearch://ana:secret@search/custody\n");
  const environment = {
    CUSTODY_DOCUMENT_URL: "mongodb://db/custody",
    CUSTODY_SEARCH_URL_FILE: file,
    CUSTODY_GRAPH_URL: "",
  };
  expect(settingsWith({}, environment).engines).toEqual({
    document: "mongodb://db/custody",
    search: "opensearch://ana:secret@search/custody",
  });
  expect(() => settingsWith({}, { CUSTODY_BLOB_URL_FILE: "missing" })).toThrow(
    "CUSTODY_BLOB_URL_FILE names missing, which cannot be read",
  );
});

test("from when on a read is slow is a whole number of milliseconds", () => {
  expect(settingsWith({}, { CUSTODY_SLOW_MS: "0" }).slowMs).toBe(0);
  expect(() => settingsWith({}, { CUSTODY_SLOW_MS: "1s" })).toThrow(
    'CUSTODY_SLOW_MS is "1s", and not a whole number of milliseconds',
  );
});

test("colours are for terminals, unless the user says otherwise", () => {
  const { terminal } = recordedTerminal({ isInteractive: true });
  expect(resolveSettings({}, terminal).hasColor).toBe(true);
  expect(resolveSettings({ color: false }, terminal).hasColor).toBe(false);
  expect(settingsWith({}, { FORCE_COLOR: "1" }).hasColor).toBe(true);
  expect(settingsWith({}, { FORCE_COLOR: "1", NO_COLOR: "1" }).hasColor).toBe(false);
});

test("a key service is named by a variable, or by the file that one names", async () => {
  const url = "vault://:hvs.token@vault.example/transit/custody";
  expect(settingsWith({}, { CUSTODY_KEY_SERVICE_URL: url }).keyService).toBe(url);
  expect(settingsWith({}, { CUSTODY_KEY_SERVICE_URL: "" })).not.toHaveProperty("keyService");
  await using directory = await makeTemporaryDirectory();
  const file = join(directory.path, "url");
  await writeFile(file, `${url}\n`);
  expect(settingsWith({}, { CUSTODY_KEY_SERVICE_URL_FILE: file }).keyService).toBe(url);
});
