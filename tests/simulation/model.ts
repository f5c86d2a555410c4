import type { Receipt } from "@custody/contract/receipt";

/** Records of one type that a client asks for. */
export interface AskedPart {
  readonly type: string;
  readonly put: readonly AskedRecord[];
  readonly delete: readonly string[];
}

/** A record as a client gives it. */
export interface AskedRecord {
  readonly id: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A commit or an import that a client asked for, and what it heard of it. */
export interface Attempt {
  /** The number of its step; it stands in the entry's source. */
  readonly op: number;
  readonly tenant: string;
  readonly parts: readonly AskedPart[];
  readonly ifVersion: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly kind: "commit" | "import" | "lenient import";
  /** The journal's last sequence before the client asked. */
  readonly headBefore: number;
  headAfter: number;
  outcome: "asked" | "acknowledged" | "refused" | "unknown";
  receipts: Receipt[];
  /** What it was refused with. */
  reason: string;
}

/** What a client was told of one record. */
export interface ReadAnswer {
  readonly step: number;
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
  /** The journal's last sequence when it asked, or the one it asked to see: the answer is no older. */
  readonly from: number;
  /** The journal's last sequence when it was told. */
  readonly to: number;
  /** `undefined` where there was none. */
  readonly found:
    | { readonly version: number; readonly fields: Readonly<Record<string, unknown>> }
    | undefined;
  readonly invariant: "read-is-of-some-instant" | "read-sees-its-write";
}

/** Model: what clients have asked for and were told, which is all that anybody outside can know. */
export class Model {
  readonly attempts: Attempt[] = [];
  readonly reads: ReadAnswer[] = [];
  /** The ids of backups that clients were told are made. */
  readonly backups: string[] = [];

  /** Records asked for so far, of a type in a tenant. */
  asked(tenant: string, type: string): readonly AskedRecord[] {
    return this.attempts
      .filter((attempt) => attempt.tenant === tenant)
      .flatMap(({ parts }) => parts)
      .filter((part) => part.type === type)
      .flatMap(({ put }) => put);
  }

  /** The newest version of a record that a client was told of. */
  knownVersion(tenant: string, type: string, id: string): number {
    for (const attempt of this.attempts.toReversed()) {
      if (attempt.tenant !== tenant || attempt.outcome !== "acknowledged") continue;
      const part = attempt.parts.find((one) => one.type === type);
      if (part === undefined) continue;
      if (part.delete.includes(id)) return 0;
      if (!part.put.some((record) => record.id === id)) continue;
      const entry = attempt.receipts[0]?.entries.findLast((one) => one.type === type);
      if (entry !== undefined) return entry.sequence;
    }
    return 0;
  }
}
