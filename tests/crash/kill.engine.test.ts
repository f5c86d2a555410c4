import { onTestFinished } from "vitest";

import { describeOnServer } from "@custody/stores/testing/engine-server";

import { describeOnServers, freshUrls } from "../e2e/on-servers.ts";
import { describeKill } from "./kill-suite.ts";
import { freshDatabase, onPostgresql } from "./postgresql-installation.ts";

describeOnServer("postgresql", (server) => {
  describeKill(async () => onPostgresql((await freshDatabase(server, onTestFinished)).url()));
});

describeOnServers(() => {
  describeKill(() => freshUrls(onTestFinished));
});
