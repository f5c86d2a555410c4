import type { EventStream } from "@custody/stores/stream/port";

import type { Custody } from "../custody.ts";
import { tenantScope } from "../projection/owner-scope.ts";
import { topicsOf } from "../query/journal-events.ts";
import { consume } from "./consume.ts";
import type { ConsumingParts } from "./consume.ts";

/** The part of the library that events leave by and evidence comes in by. */
export function createStreaming(parts: ConsumingParts): Pick<Custody, "events" | "consume"> {
  const { registry, accept } = parts;
  const stream = (): Promise<EventStream> => parts.stream();
  return {
    events: {
      topics: () => topicsOf(registry),
      read: async (scope, topic, { after = "0", limit = 100 } = {}) =>
        (await stream()).read(tenantScope(scope), topic, { after, limit }),
      poll: async (scope, topic, group, limit = 100) =>
        (await stream()).poll(tenantScope(scope), topic, group, limit),
      acknowledge: async (scope, topic, group, offset) =>
        (await stream()).acknowledge(tenantScope(scope), topic, group, offset),
    },
    consume: async (scope, source, options = {}) => {
      await accept(scope);
      return consume(parts, scope, source, options);
    },
  };
}
