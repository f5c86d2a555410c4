import { describeNetworkFaults } from "../testing/conformance-network.ts";
import { describeOnServer, testServerUrl } from "../testing/engine-server.ts";
import { dropKafka, kafkaUrl, newKafkaPrefix } from "../testing/kafka-server.ts";
import { scopeFor } from "../testing/scope.ts";
import { describeStream } from "./conformance.ts";
import { openKafkaStream } from "./kafka.ts";

const module = new URL("./kafka.ts", import.meta.url).href;
const server = testServerUrl("kafka") ?? "kafka://127.0.0.1:1";
const under = (prefix: string, options = ""): string => kafkaUrl(server, prefix, options);

function describeKafka(name: string, options: string): void {
  describeStream(name, async () => {
    const prefix = newKafkaPrefix();
    const url = under(prefix, options);
    let stream = await openKafkaStream({ url });
    return {
      stream,
      async tell(tenant, events) {
        await using teller = await openKafkaStream({ url });
        await teller.publish(scopeFor(tenant), events);
      },
      async reopen() {
        await stream[Symbol.asyncDispose]();
        stream = await openKafkaStream({ url });
        return stream;
      },
      childStream: () =>
        `(await import("${module}")).openKafkaStream({ url: ${JSON.stringify(url)} })`,
      async [Symbol.asyncDispose]() {
        await stream[Symbol.asyncDispose]();
        await dropKafka(server, prefix);
      },
    };
  });
}

describeOnServer("kafka", () => {
  describeKafka("kafka", "");
  describeKafka("kafka, three partitions", "partitions=3");
});

const networkPrefix = newKafkaPrefix();

describeNetworkFaults("kafka", {
  open: (url) => openKafkaStream({ url: url.replace("?", `/${networkPrefix}?`) }),
  prepare: (stream, scope) => stream.acknowledge(scope, "t", "made", "0"),
  write: (stream, number, scope) =>
    stream.publish(scope, [
      {
        topic: "t",
        key: "k",
        eventId: `tenant-a:0123456789ab:${number}:0`,
        body: `{"n":${number}}`,
      },
    ]),
  // Told at least once: whoever reads knows an event by its id.
  count: async (stream, scope) => {
    const events = await stream.read(scope, "t", { after: "0", limit: 1_000 });
    return new Set(events.map(({ eventId }) => eventId)).size;
  },
  clean: () => dropKafka(server, networkPrefix),
  isAddressAdvertised: true,
});
