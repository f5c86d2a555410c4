import { describe, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import { kafkaErrorId, mapKafkaError } from "./kafka-errors.ts";
import { readKafkaSettings } from "./kafka-settings.ts";
import { checkKafkaApis, kafkaVersion } from "./kafka-version.ts";

describe("the URL of Kafka", () => {
  test("names brokers, user, prefix, and what topics are made with", () => {
    expect(
      readKafkaSettings(
        "kafkas://ana:s%40cret@a,b:9094/eu-1?sasl=scram-sha-256&partitions=6&replication=3",
      ),
    ).toMatchObject({
      hosts: [
        { host: "a", port: 9_092 },
        { host: "b", port: 9_094 },
      ],
      prefix: "eu-1",
      partitions: 6,
      replication: 3,
      tls: { isVerified: true },
      sasl: { mechanism: "SCRAM-SHA-256", username: "ana", password: "s@cret" },
    });
  });

  test("with nothing but a host has the defaults", () => {
    const settings = readKafkaSettings("kafka://broker");
    expect(settings).toMatchObject({ prefix: "custody", partitions: 1, replication: -1 });
    expect([settings.sasl, settings.tls]).toEqual([undefined, undefined]);
  });

  test.each([
    ["kafka://u:p@a", "SCRAM-SHA-512"],
    ["kafka://u:p@a?sasl=plain", "PLAIN"],
    ["kafka://a?sasl=oauthbearer&token-file=/run/token", "OAUTHBEARER"],
  ])("chooses how to prove who we are: %s", (url, mechanism) => {
    expect(readKafkaSettings(url).sasl).toMatchObject({ mechanism });
  });

  test.each([
    ["kafka://a/b.c", "prefix"],
    ["kafka://a/b_c", "prefix"],
    ["kafka://a?partitions=0", "partitions"],
    ["kafka://a?partitions=65", "partitions"],
    ["kafka://a?replication=x", "replication"],
    ["kafka://a?sasl=gssapi", "sasl is one of"],
    ["kafka://a?sasl=plain", "user and a password"],
    ["kafka://:hidden@a?sasl=plain", "user and a password"],
    ["kafka://a?sasl=oauthbearer", "token-file"],
    ["kafka://u:hidden@a?token-file=/x", "oauthbearer"],
    ["kafka://a?acks=1", "no option"],
    ["http://a", "scheme"],
  ])("is refused with what is wrong: %s", (url, what) => {
    const read = (): unknown => readKafkaSettings(url);
    expect(read).toThrow(expect.objectContaining({ code: "refused" }));
    expect(read).toThrow(what);
    expect(read).not.toThrow("hidden");
  });
});

/** An error as the library makes it: an answer's error within one of the call. */
function answered(apiId: string): Error {
  const own = Object.assign(new Error("text that says nothing"), {
    code: "PLT_KFK_PROTOCOL",
    apiId,
  });
  const response = Object.assign(new AggregateError([own]), { code: "PLT_KFK_RESPONSE" });
  return Object.assign(new AggregateError([response]), { code: "PLT_KFK_MULTIPLE" });
}

describe("what Kafka answers", () => {
  test.each([
    ["MESSAGE_TOO_LARGE", "limit", false],
    ["TOPIC_AUTHORIZATION_FAILED", "read-only", false],
    ["INVALID_REPLICATION_FACTOR", "refused", false],
    ["NON_EMPTY_GROUP", "conflict", false],
    ["UNSUPPORTED_VERSION", "unsupported", false],
    ["SASL_AUTHENTICATION_FAILED", "unavailable", true],
    ["NOT_ENOUGH_REPLICAS", "unavailable", true],
    ["REQUEST_TIMED_OUT", "unavailable", true],
    ["A_CODE_OF_THE_FUTURE", "unavailable", true],
  ])("%s is %s", (id, code, retryable) => {
    expect(kafkaErrorId(answered(id))).toBe(id);
    expect(mapKafkaError("publish events", answered(id))).toMatchObject({ code, retryable });
  });

  test("what is no answer is the network's, told by the system's own code where there is one", () => {
    const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
    const wrapped = Object.assign(new Error("x", { cause: refused }), { code: "PLT_KFK_NETWORK" });
    expect(mapKafkaError("read", wrapped)).toMatchObject({
      code: "unavailable",
      message: "Kafka could not read: ECONNREFUSED",
    });
    expect(mapKafkaError("read", new Error("odd"))).toMatchObject({ code: "unavailable" });
    const own = new StoreError("limit", "ours");
    expect(mapKafkaError("read", own)).toBe(own);
  });
});

describe("the version of Kafka", () => {
  test("from 3.1 on is taken, and one that is older is refused with what is needed", () => {
    const apis = (fetch: number, metadata: number): Map<string, number> =>
      new Map([
        ["Fetch", fetch],
        ["Metadata", metadata],
      ]);
    expect(() => checkKafkaApis(apis(13, 12))).not.toThrow();
    expect(() => checkKafkaApis(apis(18, 13))).not.toThrow();
    for (const old of [apis(12, 12), apis(13, 11), new Map<string, number>()]) {
      expect(() => checkKafkaApis(old)).toThrow(expect.objectContaining({ code: "unsupported" }));
      expect(() => checkKafkaApis(old)).toThrow("3.1 or later is needed");
    }
  });

  test.each([
    [30, "4.3"],
    [29, "4.2"],
    [25, "4.0"],
    [21, "3.9"],
    [7, "3.3"],
    [1, "3.1 or later"],
    [44, "4.3 or later"],
  ])("is read from its feature level %i: %s", (maxVersion, version) => {
    const supportedFeatures = [{ name: "metadata.version", minVersion: 1, maxVersion }];
    const answer = { errorCode: 0, apiKeys: [], throttleTimeMs: 0, supportedFeatures };
    expect(kafkaVersion(answer)).toBe(version);
  });

  test("is told as well as it can be where a broker says nothing", () => {
    expect(kafkaVersion({ errorCode: 0, apiKeys: [], throttleTimeMs: 0 })).toBe("3.1 or later");
  });
});
