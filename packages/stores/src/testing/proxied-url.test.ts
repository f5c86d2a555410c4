import { expect, test } from "vitest";

import { proxyRoute, throughProxy } from "./proxied-url.ts";

const limits = { timeout: "1500", "connect-timeout": "1000" };

test("a proxy passes on to the first host of the URL", () => {
  expect(proxyRoute("redis://:secret@10.0.0.7:6379,10.0.0.8:6379/2?tls=true", undefined)).toEqual({
    upstream: "10.0.0.7:6379",
  });
  expect(proxyRoute("bolt://[::1]:7687", undefined)).toEqual({ upstream: "[::1]:7687" });
});

test("a server that names its own address gets a proxy on the port it names", () => {
  expect(proxyRoute("kafka://127.0.0.1:9092", "19099:19098")).toEqual({
    upstream: "127.0.0.1:19098",
    listenPort: 19_099,
  });
  expect(() => proxyRoute("kafka://127.0.0.1:9092", "19099")).toThrow("listen:upstream");
});

test("credentials, path and options stay, host and port become the proxy's, the limits are added", () => {
  expect(
    throughProxy(
      "postgresql://ana:p%40ss@db:5432,other:5433/custody?pool=3&timeout=9",
      4711,
      limits,
    ),
  ).toBe("postgresql://ana:p%40ss@127.0.0.1:4711/custody?pool=3&timeout=1500&connect-timeout=1000");
  expect(throughProxy("influxdb://127.0.0.1:8086", 4711, limits)).toBe(
    "influxdb://127.0.0.1:4711?timeout=1500&connect-timeout=1000",
  );
});

test("a URL without a port is refused, as a proxy cannot guess it", () => {
  expect(() => throughProxy("postgresql://db/custody", 1, {})).toThrow("host and port");
});
