import { onTestFinished } from "vitest";

import { describeOnServers, freshUrls } from "../e2e/on-servers.ts";
import { describeKill } from "./kill-suite.ts";

describeOnServers(() => {
  describeKill(() => freshUrls(onTestFinished));
});
