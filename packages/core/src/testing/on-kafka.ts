import { openKafkaStream } from "@custody/stores/stream/kafka";
import type { EventStream } from "@custody/stores/stream/port";

import type { Stores } from "../stores.ts";
import type { InstallationChanges } from "./installation.ts";

/** An installation whose stream is Kafka; `wrap` may put something between. */
export function onKafka(
  url: string,
  wrap: (stream: EventStream) => EventStream = (stream) => stream,
): InstallationChanges {
  return {
    wrapStores: (stores): Stores => {
      let opened: Promise<EventStream> | undefined;
      return {
        ...stores,
        stream: () => (opened ??= openKafkaStream({ url }).then(wrap)),
        async [Symbol.asyncDispose]() {
          await (await opened)?.[Symbol.asyncDispose]();
          await stores[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** The same stream with one method in place of its own. */
export function withMethod<Name extends "publish" | "fetch">(
  stream: EventStream,
  name: Name,
  method: EventStream[Name],
): EventStream {
  return new Proxy(stream, {
    get: (target, asked) => {
      if (asked === name) return method;
      const value: unknown = Reflect.get(target, asked);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
