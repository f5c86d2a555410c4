import { makeInstallation } from "./custody-process.ts";
import { describeReading } from "./reading-suite.ts";

describeReading(makeInstallation);
