import { describeChanging } from "./changing-suite.ts";
import { describeOnServers, makeServerInstallation } from "./on-servers.ts";
import { describeReading } from "./reading-suite.ts";

describeOnServers(() => {
  describeReading(makeServerInstallation);
  describeChanging(makeServerInstallation);
});
