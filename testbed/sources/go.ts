import { cp, mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

import { runCommand } from "../command.ts";

const SMALL = ["-trimpath", "-ldflags", "-s -w"];
const ENVIRONMENT = { GOWORK: "off", GOFLAGS: "-buildvcs=false", CGO_ENABLED: "0" };

/** Builds a Go program as it is published: `github.com/minio/minio@v1`. */
export async function installGoProgram(
  directory: string,
  program: { readonly package: string; readonly binary: string },
): Promise<void> {
  const bin = join(directory, "bin");
  await mkdir(bin);
  await runCommand("go", ["install", ...SMALL, program.package], {
    cwd: directory,
    log: join(directory, "install.log"),
    environment: { ...ENVIRONMENT, GOBIN: bin },
  });
  const [built = ""] = await readdir(bin);
  await rename(join(bin, built), join(bin, program.binary));
}

/** Builds a Go program from a copy of its source, for modules that `go install` refuses. */
export async function buildGoSource(
  directory: string,
  program: {
    readonly module: string;
    readonly package: string;
    readonly binary: string;
    /** Adds to the copied source what the published module lacks. */
    readonly amend?: (source: string) => Promise<void>;
  },
): Promise<void> {
  const log = join(directory, "install.log");
  const source = join(directory, "source");
  await runCommand("go", ["mod", "download", "-json", program.module], {
    cwd: directory,
    log,
    environment: ENVIRONMENT,
  });
  const cached = /"Dir": "([^"]+)"/.exec(await readFile(log, "utf8"))?.[1];
  if (cached === undefined)
    throw new Error(`go does not say where ${program.module} is; see ${log}`);
  await cp(cached, source, { recursive: true });
  await runCommand("chmod", ["-R", "u+w", source], { cwd: directory, log });
  await program.amend?.(source);
  const output = join(directory, "bin", program.binary);
  await runCommand("go", ["build", ...SMALL, "-o", output, program.package], {
    cwd: source,
    log,
    environment: ENVIRONMENT,
  });
  await rm(source, { recursive: true, force: true });
}
