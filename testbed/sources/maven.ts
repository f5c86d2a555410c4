import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { runCommand } from "../command.ts";

const COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/** Copies Maven artifacts (`group:artifact:version`), with all they need to run, into `lib`. */
export async function copyMavenArtifacts(
  directory: string,
  artifacts: readonly string[],
): Promise<void> {
  const dependencies = artifacts.map((name) => {
    const [group = "", artifact = "", version = ""] = name.split(":");
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  const project = `<project><modelVersion>4.0.0</modelVersion>
<groupId>testbed</groupId><artifactId>engine</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependencies.join("\n")}</dependencies></project>
`;
  await writeFile(join(directory, "pom.xml"), project);
  await runCommand(
    "mvn",
    ["-B", "-q", COPY, "-DincludeScope=runtime", `-DoutputDirectory=${join(directory, "lib")}`],
    { cwd: directory, log: join(directory, "install.log") },
  );
}

/** Compiles one Java source of the testbed against the copied artifacts, into `classes`. */
export async function compileJava(
  directory: string,
  {
    javaHome,
    name,
    source,
  }: { readonly javaHome: string; readonly name: string; readonly source: string },
): Promise<void> {
  await mkdir(join(directory, "classes"));
  const file = join(directory, `${name}.java`);
  await writeFile(file, source);
  await runCommand(
    join(javaHome, "bin", "javac"),
    ["-cp", join(directory, "lib", "*"), "-d", join(directory, "classes"), file],
    { cwd: directory, log: join(directory, "install.log") },
  );
}
