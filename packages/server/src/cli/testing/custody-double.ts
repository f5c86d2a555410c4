import type { Custody } from "@custody/core/custody";

import type { Composition } from "../session.ts";

type Answers = {
  readonly [Name in keyof Custody]?: Custody[Name] extends (...parameters: never[]) => unknown
    ? (...parameters: Parameters<Custody[Name]>) => unknown
    : Partial<Custody[Name]>;
};

/** Stands in for the library where only words, printing and exit codes are tested; tests/e2e has the real one. */
export function composeWith(answers: Answers): Composition & { readonly isClosed: () => boolean } {
  let isClosed = false;
  const custody = {
    ...answers,
    [Symbol.asyncDispose]: async () => {
      isClosed = true;
    },
  } as unknown as Custody;
  return {
    isClosed: () => isClosed,
    openCustody: async () => custody,
    initCustody: async () => ({ recoveryKey: "ABCD-EFGH" }),
    recoverKeyFile: async () => undefined,
    makeScratchPlace: () => Promise.reject(new Error("there is no scratch place here")),
    restoreInstallation: () => Promise.reject(new Error("nothing is restored here")),
  };
}
