import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, test } from "vitest";

import { makeTemporaryDirectory } from "../testing/temporary-directory.ts";
import { describeServer, parseServerUrl } from "./server-settings.ts";

const RULES = {
  product: "PostgreSQL",
  schemes: { postgresql: "clear", postgresqls: "tls" },
  defaultPort: 5432,
  options: ["replica"],
} as const;

const read = (url: string) => parseServerUrl(url, RULES);

test("a URL with nothing but a host has the defaults", () => {
  expect(read("postgresql://db")).toEqual({
    scheme: "postgresql",
    hosts: [{ host: "db", port: 5432 }],
    path: "",
    timeoutMs: 30_000,
    connectMs: 10_000,
    poolMax: 8,
    options: {},
  });
});

test("credentials, hosts, path and options are read and unescaped", () => {
  expect(
    read("postgresql://a%40b:p%3A%2Fw@h1:1,[::1]:2/my%20db?replica=r&pool=3&timeout=50"),
  ).toEqual({
    scheme: "postgresql",
    hosts: [
      { host: "h1", port: 1 },
      { host: "::1", port: 2 },
    ],
    user: "a@b",
    password: "p:/w",
    path: "my db",
    timeoutMs: 50,
    connectMs: 10_000,
    poolMax: 3,
    options: { replica: "r" },
  });
});

test("secrets and certificates come from files", async () => {
  await using directory = await makeTemporaryDirectory();
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory.path, name), text);
    return encodeURIComponent(join(directory.path, name));
  };
  const password = await file("password", "s3cret\n");
  const ca = await file("ca.pem", "CERTIFICATE\n");
  const settings = read(`postgresqls://ana@db/x?password-file=${password}&ca=${ca}`);
  expect(settings.password).toBe("s3cret");
  expect(settings.tls).toEqual({ ca: "CERTIFICATE", isVerified: true });
});

test.each([
  ["db:5432/x", "it is not of the form scheme://host:port/path?options"],
  ["mysql://db", "its scheme is one of postgresql, postgresqls"],
  ["postgresql://db:99999", '"db:99999" is not a host with a port'],
  ["postgresql://db?speed=9", 'it has no option "speed"; there are tls, ca'],
  ["postgresql://db?pool=0", "pool is a whole number from 1"],
  ["postgresql://db?ca=x", "ca, cert and key need tls=true"],
  ["postgresqls://db?password-file=missing", "names the file missing, which cannot be read"],
  ["postgresql://u:p%zz@db", "a % in it does not begin an escape such as %40"],
])("%s is refused with what is wrong", (url, reason) => {
  expect(() => read(url)).toThrow(reason);
});

test("the description and errors do not repeat the password", () => {
  expect(describeServer(read("postgresql://ana:s3cret@db/x"))).toBe("postgresql://db:5432/x");
  expect(() => read("postgresql://ana:s3cret@db?speed=9")).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining("s3cret") }),
  );
});
