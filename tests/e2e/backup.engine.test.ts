import { onTestFinished, test } from "vitest";

import { roleVariables } from "../../testbed/role-urls.ts";
import { answersOf, besides, expectWhole, HITS, REPORT } from "./backup-suite.ts";
import { describeOnServers, freshUrls, makeServerInstallation } from "./on-servers.ts";

describeOnServers(() => {
  test(
    "a backup of servers restores onto embedded engines and onto other servers, and all answer alike",
    { timeout: 600_000 },
    async () => {
      const custody = await makeServerInstallation(onTestFinished);
      await custody.ask("init");
      await custody.ask("import", REPORT, HITS);
      await custody.ask("keys", "backup", "--to", "key-backup");
      await custody.ask("backup", "create", "--repository", "backups");
      const answers = await answersOf(custody.run);

      const embedded = besides(custody, "embedded");
      await embedded.restore("latest", "--beside", "--repository", "backups");
      await expectWhole(embedded, answers);

      await embedded.run(["keys", "backup", "--to", "embedded-keys"]);
      await embedded.run(["backup", "create", "--repository", "embedded-backups"]);
      const servers = besides(custody, "servers", roleVariables(freshUrls(onTestFinished)));
      const words = ["--repository", "embedded-backups", "--key-backup", "embedded-keys"];
      await servers.restore("latest", "--ignore-live", ...words);
      await expectWhole(servers, answers);
    },
  );
});
