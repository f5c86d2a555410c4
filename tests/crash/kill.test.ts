import { describeKill } from "./kill-suite.ts";

describeKill(() => ({}));
