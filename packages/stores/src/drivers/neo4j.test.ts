import { expect, test } from "vitest";

import { checkNeo4jVersion, mapNeo4jError } from "./neo4j-errors.ts";
import { parseNeo4jUrl } from "./neo4j-settings.ts";
import { Neo4jSlots } from "./neo4j-slots.ts";

test("a cluster's URL names its members, the installation and the database", () => {
  const settings = parseNeo4jUrl("neo4j://ana:p%40ss@db1,db2:7688,[::1]/prod?database=evidence");
  expect(settings).toMatchObject({
    address: "neo4j://db1:7687",
    hosts: ["db1:7687", "db2:7688", "[::1]:7687"],
    installation: "prod",
    database: "evidence",
    auth: { scheme: "basic", principal: "ana", credentials: "p@ss" },
    tls: { encrypted: false },
  });
});

test("without a path the installation is custody, without a user nobody is named", () => {
  expect(parseNeo4jUrl("bolt://db")).toMatchObject({
    address: "bolt://db:7687",
    installation: "custody",
    database: undefined,
    auth: undefined,
  });
});

test("a token is given as password", () => {
  expect(parseNeo4jUrl("bolt://:abc@db?auth=bearer").auth).toEqual({
    scheme: "bearer",
    credentials: "abc",
  });
});

test("the scheme says whether there is TLS, verify=false that anyone is trusted", () => {
  expect(parseNeo4jUrl("neo4j+s://db").tls).toEqual({
    encrypted: true,
    trust: "TRUST_SYSTEM_CA_SIGNED_CERTIFICATES",
  });
  expect(parseNeo4jUrl("bolt://db?tls=true&verify=false").tls).toMatchObject({
    encrypted: true,
    trust: "TRUST_ALL_CERTIFICATES",
  });
});

test.each([
  ["http://db", "scheme"],
  ["bolt://db1,db2", "one server"],
  ["bolt://db/a b", "installation"],
  ["bolt://db/a/b", "installation"],
  ["bolt://ana:secret@db?auth=kerberos", "auth is"],
  ["bolt://db?auth=basic", "user"],
  ["bolt://db?auth=bearer", "token"],
  ["bolt://ana:secret@db?nosuch=1", "nosuch"],
])("a URL that cannot be used is refused, without its password: %s", (url, what) => {
  expect(() => parseNeo4jUrl(url)).toThrow(what);
  expect(() => parseNeo4jUrl(url)).not.toThrow("secret");
});

test.each([["Neo4j/5.26.30"], ["Neo4j/5.27.0-aura"], ["Neo4j/2025.09.0"]])(
  "%s is new enough",
  (agent) => {
    expect(checkNeo4jVersion(agent)).toBe(agent.slice("Neo4j/".length));
  },
);

test.each([
  ["Neo4j/5.25.1", "Neo4j 5.25.1 is too old; Custody needs Neo4j 5.26 or newer"],
  ["Neo4j/4.4.0", "Neo4j 4.4.0 is too old; Custody needs Neo4j 5.26 or newer"],
  ["Other/9.9", "the server calls itself Other/9.9; Custody needs Neo4j 5.26 or newer"],
])("%s is not used, and the message says what is needed", (agent, message) => {
  expect(() => checkNeo4jVersion(agent)).toThrow(
    expect.objectContaining({ code: "unsupported", message }) as Error,
  );
});

function driverError(code: string, message = "what happened"): Error {
  return Object.assign(new Error(message), { name: "Neo4jError", code });
}

test.each([
  ["Neo.TransientError.Transaction.DeadlockDetected", "unavailable"],
  ["Neo.TransientError.General.MemoryPoolOutOfMemoryError", "limit"],
  ["Neo.TransientError.General.DatabaseUnavailable", "unavailable"],
  ["Neo.ClientError.Statement.SyntaxError", "refused"],
  ["Neo.ClientError.Statement.ParameterMissing", "refused"],
  ["Neo.ClientError.Statement.AccessMode", "refused"],
  ["Neo.ClientError.Schema.ConstraintValidationFailed", "conflict"],
  ["Neo.ClientError.Security.Unauthorized", "unavailable"],
  ["Neo.ClientError.Cluster.NotALeader", "unavailable"],
  ["Neo.ClientError.General.ForbiddenOnReadOnlyDatabase", "read-only"],
  ["Neo.ClientError.Transaction.TransactionTimedOut", "unavailable"],
  ["Neo.DatabaseError.General.StorageDamageDetected", "corrupt"],
  ["Neo.DatabaseError.General.UnknownError", "unavailable"],
  ["ServiceUnavailable", "unavailable"],
  ["SessionExpired", "unavailable"],
  ["N/A", "unavailable"],
])("%s is %s", (code, expected) => {
  expect(mapNeo4jError({ doing: "apply" }, driverError(code))).toMatchObject({
    name: "StoreError",
    code: expected,
  });
});

test("a search that the server ended for its time is beyond a limit", () => {
  const code = "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration";
  expect(mapNeo4jError({ doing: "ask", isSearch: true }, driverError(code))).toMatchObject({
    code: "limit",
    retryable: false,
  });
});

test("a message has neither the statement nor the store's own words", () => {
  const message = `Variable x not defined at :custody_${"0".repeat(32)}& (line 1, column 8 (offset: 7))\n"MATCH (secret)"`;
  const code = "Neo.ClientError.Statement.SyntaxError";
  expect(mapNeo4jError({ doing: "ask" }, driverError(code, message))).toMatchObject({
    message: `Neo4j could not ask: Variable x not defined at  (${code})`,
  });
});

test("slots are given in the order of asking, and not for ever waited for", async () => {
  const slots = new Neo4jSlots(1, "seats");
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const order: number[] = [];
  const first = slots.run(1_000, async () => {
    await promise;
    order.push(1);
  });
  const late = slots.run(1, async () => {
    order.push(9);
  });
  const others = [2, 3].map((number) =>
    slots.run(1_000, async () => {
      order.push(number);
    }),
  );
  await expect(late).rejects.toMatchObject({
    code: "unavailable",
    message: "all seats were in use for 1 ms",
  });
  resolve(undefined);
  await Promise.all([first, ...others]);
  expect(order).toEqual([1, 2, 3]);
});
