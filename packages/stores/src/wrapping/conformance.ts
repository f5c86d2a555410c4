import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

import { describe, expect, test } from "vitest";

import { StoreError } from "../errors.ts";
import type { WrappingService } from "./port.ts";

/** How a wrapping service is opened, and hurt, in tests. */
export interface WrappingFixture {
  readonly open: (url: string) => Promise<WrappingService>;
  /** The URL of a key of the test's own, which works. */
  readonly url: () => Promise<string>;
  /** The URL of a key that is not there, on a server that is. */
  readonly absentUrl: () => Promise<string>;
  /** A key that works, asked for with credentials that the service does not let in; absent where it asks for none. */
  readonly deniedUrl?: () => Promise<string>;
  /** The same URL with the server at this address, which gives up after `timeoutMs`. */
  readonly at: (url: string, address: string, timeoutMs: number) => string;
  /** Rotates the key of a URL. */
  readonly rotate: (url: string) => Promise<void>;
  /** What no message may repeat. */
  readonly secrets: readonly string[];
}

const SECRET = Uint8Array.from({ length: 32 }, (_, index) => 7 * index + 1);
const CONTEXT = { "custody-purpose": "key-backup", "custody-root-key": "0123456789abcdef" };
const TIMEOUT_MS = 400;

/** The contract of every wrapping service. */
export function describeWrapping(fixture: WrappingFixture): void {
  const withKey = async (
    work: (service: WrappingService, url: string) => Promise<void>,
    url?: string,
  ): Promise<void> => {
    const used = url ?? (await fixture.url());
    await using service = await fixture.open(used);
    await work(service, used);
  };
  const failure = async (work: Promise<unknown>): Promise<StoreError> => {
    const error: unknown = await work.then(
      () => undefined,
      (cause: unknown) => cause,
    );
    if (!(error instanceof StoreError))
      throw new Error("no StoreError was thrown", { cause: error });
    for (const secret of [...fixture.secrets, Buffer.from(SECRET).toString("base64")])
      expect(error.message).not.toContain(secret);
    return error;
  };

  describe("wrapping", () => {
    test("what was wrapped comes back, and cannot be read in what is kept", async () => {
      await withKey(async (service) => {
        const wrapped = await service.wrap(SECRET, CONTEXT);
        expect(Buffer.from(wrapped).includes(Buffer.from(SECRET))).toBe(false);
        expect(Buffer.from(wrapped).toString()).not.toContain(
          Buffer.from(SECRET).toString("base64"),
        );
        expect(await service.unwrap(wrapped, CONTEXT)).toEqual(SECRET);
        expect(await service.wrap(SECRET, CONTEXT)).not.toEqual(wrapped);
      });
    });

    test.each([
      ["for another installation", { ...CONTEXT, "custody-root-key": "fedcba9876543210" }],
      ["without its purpose", { "custody-root-key": "0123456789abcdef" }],
      ["with nothing", {}],
    ])("what was wrapped is refused %s", async (_, context) => {
      await withKey(async (service) => {
        const wrapped = await service.wrap(SECRET, CONTEXT);
        expect((await failure(service.unwrap(wrapped, context))).code).toBe("refused");
      });
    });

    test("what was altered never opens as another secret, and where it matters not at all", async () => {
      await withKey(async (service) => {
        const wrapped = await service.wrap(SECRET, CONTEXT);
        // Its middle is what was encrypted; before it may stand a version or a key's name.
        for (let at = 0; at < wrapped.byteLength; at += 7) {
          const altered = wrapped.map((byte, index) => (index === at ? byte ^ 1 : byte));
          const isWithin = at > wrapped.byteLength / 2 && at < wrapped.byteLength - 8;
          const opened = service.unwrap(altered, CONTEXT);
          if (isWithin) expect((await failure(opened)).code).toBe("refused");
          else expect(await opened.catch(() => SECRET)).toEqual(SECRET);
        }
        expect((await failure(service.unwrap(wrapped.subarray(0, -5), CONTEXT))).code).toBe(
          "refused",
        );
      });
    }, 30_000);

    test("a rotated key opens what it wrapped before", async () => {
      await withKey(async (service, url) => {
        const before = await service.wrap(SECRET, CONTEXT);
        await fixture.rotate(url);
        expect(await service.unwrap(before, CONTEXT)).toEqual(SECRET);
        const after = await service.wrap(SECRET, CONTEXT);
        expect(await service.unwrap(after, CONTEXT)).toEqual(SECRET);
      });
    });

    test("a key that is not there is refused, and not made", async () => {
      await withKey(
        async (service) => {
          expect((await failure(service.wrap(SECRET, CONTEXT))).code).toBe("refused");
          expect(await failure(service.wrap(SECRET, CONTEXT))).toMatchObject({
            code: "refused",
            message: expect.stringContaining("there is no such key") as string,
          });
        },
        await fixture.absentUrl(),
      );
    });

    const { deniedUrl } = fixture;
    // A server that asks for no credentials, as Moto, denies nobody: its errors are tested by their codes.
    test.skipIf(deniedUrl === undefined)(
      "credentials that are not let in make it unavailable, and say so",
      async () => {
        const good = await fixture.url();
        await using opened = await fixture.open(good);
        const wrapped = await opened.wrap(SECRET, CONTEXT);
        await withKey(
          async (service) => {
            const denied = {
              code: "unavailable",
              message: expect.stringContaining("it denies access") as string,
            };
            expect(await failure(service.wrap(SECRET, CONTEXT))).toMatchObject(denied);
            expect(await failure(service.unwrap(wrapped, CONTEXT))).toMatchObject(denied);
          },
          await deniedUrl?.(),
        );
      },
    );

    test("a server that never answers is unavailable in the time of the URL", async () => {
      await using silent = await silentServer();
      const url = fixture.at(await fixture.url(), silent.address, TIMEOUT_MS);
      await withKey(async (service) => {
        const startedAt = performance.now();
        const error = await failure(service.wrap(SECRET, CONTEXT));
        expect(error).toMatchObject({ code: "unavailable", retryable: true });
        expect(performance.now() - startedAt).toBeLessThan(5_000);
      }, url);
    });

    test("a server that is not there is unavailable", async () => {
      const gone = await silentServer();
      await gone[Symbol.asyncDispose]();
      const url = fixture.at(await fixture.url(), gone.address, 5_000);
      await withKey(async (service) => {
        expect(await failure(service.unwrap(Uint8Array.of(1), CONTEXT))).toMatchObject({
          code: "unavailable",
          message: expect.stringContaining("ECONNREFUSED") as string,
        });
      }, url);
    });
  });
}

interface SilentServer extends AsyncDisposable {
  readonly address: string;
}

/** Takes connections and never says a word. */
async function silentServer(): Promise<SilentServer> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
