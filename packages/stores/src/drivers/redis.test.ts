import { describe, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { mapRedisError } from "./redis-errors.ts";
import { readRedisSettings } from "./redis-settings.ts";
import { checkRedisVersion } from "./redis.ts";

describe("the URL of Redis", () => {
  test("names server, user, database and prefix", () => {
    expect(readRedisSettings("rediss://ana:s%40cret@cache:6380/2?prefix=eu")).toMatchObject({
      hosts: [{ host: "cache", port: 6_380 }],
      user: "ana",
      password: "s@cret",
      database: 2,
      prefix: "eu",
      isCluster: false,
      tls: { isVerified: true },
    });
    expect(readRedisSettings("redis://cache")).toMatchObject({
      hosts: [{ host: "cache", port: 6_379 }],
      database: 0,
      prefix: "custody",
    });
    expect(readRedisSettings("redis://s1:26379,s2:26379/1?sentinel=main")).toMatchObject({
      database: 1,
      sentinel: "main",
    });
    expect(readRedisSettings("redis://a,b,c?cluster=true")).toMatchObject({ isCluster: true });
  });

  test.each([
    ["redis://a/x", "number of a database"],
    ["redis://a,b", "several hosts"],
    ["redis://a?prefix=a{b}", "prefix"],
    ["redis://a?prefix=a*", "prefix"],
    ["redis://a/1?cluster=true", "database 0"],
    ["redis://a?cluster=yes", "cluster"],
    ["redis://a?cluster=true&sentinel=main", "sentinel"],
    ["http://a", "scheme"],
  ])("is refused with what is wrong: %s", (url, what) => {
    expect(() => readRedisSettings(url)).toThrow(
      expect.objectContaining({
        code: "refused",
        message: expect.stringContaining(what) as string,
      }) as Error,
    );
  });
});

describe("errors of Redis", () => {
  const answer = (message: string): Error =>
    Object.assign(new Error(message), { name: "ReplyError" });

  test.each([
    ["OOM command not allowed when used memory > 'maxmemory'.", "full", true],
    ["MISCONF Redis is configured to save RDB snapshots, but", "full", true],
    ["READONLY You can't write against a read only replica.", "read-only", false],
    ["NOPERM this user has no permissions to run the 'set' command", "read-only", false],
    ["LOADING Redis is loading the dataset in memory", "unavailable", true],
    ["CLUSTERDOWN The cluster is down", "unavailable", true],
    ["WRONGPASS invalid username-password pair", "unavailable", true],
    ["NOAUTH Authentication required.", "unavailable", true],
    ["MOVED 3999 127.0.0.1:6381", "unavailable", true],
    ["WRONGTYPE Operation against a key holding the wrong kind", "corrupt", false],
    ["ERR unknown command", "refused", false],
    [
      "ERR Error running script (call to f_0a): @user_script:1: -OOM command not allowed",
      "full",
      true,
    ],
  ])("%s", (message, code, retryable) => {
    const error = mapRedisError("put a value", answer(message));
    expect(error).toBeInstanceOf(StoreError);
    expect(error).toMatchObject({ code, retryable });
  });

  test("what is no answer is the network's", () => {
    const cause = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
    expect(mapRedisError("get a value", cause)).toMatchObject({
      code: "unavailable",
      message: "Redis could not get a value: ECONNREFUSED",
    });
  });
});

test("a server before 6.2 is too old, and the message says what is needed", () => {
  for (const version of ["6.2.0", "7.0.15", "8.0.0", "10.1.2"]) checkRedisVersion(version);
  for (const [version, found] of [
    ["6.0.16", "Redis 6.0.16"],
    ["5.0.14", "Redis 5.0.14"],
    ["", "unknown version"],
  ] as const) {
    expect(() => checkRedisVersion(version)).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringContaining(found) as string,
      }) as Error,
    );
    expect(() => checkRedisVersion(version)).toThrow("6.2 or later is needed");
  }
});
