// Removes what `npm run build` made, so that a build holds nothing of sources that are gone.
import { readdirSync, rmSync } from "node:fs";

const packages = new URL("../packages/", import.meta.url);
for (const name of readdirSync(packages)) {
  rmSync(new URL(`${name}/dist`, packages), { recursive: true, force: true });
}
