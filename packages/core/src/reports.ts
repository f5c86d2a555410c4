import type { StoreRole } from "@custody/contract/placement";

import type { ProjectedRole } from "./stores.ts";

export interface ProjectionStatus {
  readonly name: string;
  readonly generation: number;
  /** Where each owner has a file of their own: as many as the journal holds for them. */
  readonly records: number;
  readonly checkpoint: number;
  /** Entries yet to be read: 0 when caught up. */
  readonly lag: number;
  readonly condition: "idle" | "running" | "waiting" | "failed";
  readonly reason?: string;
  readonly quarantined: number;
}

export interface RoleStatus {
  readonly engine: string;
  readonly product: string;
  readonly records: number;
  /** On disk; without the files that owners have of their own. */
  readonly bytes: number;
  readonly lag: number;
  /** What of it is encrypted at rest by Custody, in words. */
  readonly encrypted: string;
  readonly condition: "ok" | "lagging" | "waiting" | "failed" | "closed";
  /** Why a stream is waited for, or has refused an event. */
  readonly reason?: string;
  readonly projections: readonly ProjectionStatus[];
}

export interface TenantStatus {
  readonly tenant: string;
  readonly timeline: string | undefined;
  /** Entries in the journal. */
  readonly entries: number;
  readonly head: string | undefined;
  readonly roles: Readonly<Record<StoreRole, RoleStatus>>;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly checked: {
    readonly tenants: number;
    readonly entries: number;
    readonly records: number;
    readonly segments: number;
    readonly treeHeads: number;
    readonly bytes: number;
  };
  /** The first thing that is wrong. */
  readonly fault?: {
    readonly tenant: string;
    /** `entry`, `segment`, `tree-head`, `index`. */
    readonly kind: string;
    /** Names it: `entry 12`, `segment 0192…`, `tree head at size 7`. */
    readonly at: string;
    readonly reason: string;
  };
}

/** A difference between the journal and a store. */
export interface Difference {
  readonly kind: "missing" | "extra" | "stale" | "altered";
  readonly id: string;
  readonly sequence: number;
}

export interface ReconcileReport {
  readonly ok: boolean;
  readonly projections: readonly {
    readonly role: ProjectedRole;
    readonly name: string;
    readonly checkpoint: number;
    readonly records: number;
    readonly differences: number;
    /** At most 1,000 of them. */
    readonly examples: readonly Difference[];
    readonly repaired: number;
  }[];
}

/** One place a record is in, for people: see {@link Custody.trace}. */
export interface TraceReport {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly isDeleted: boolean;
  readonly entry: {
    readonly sequence: number;
    readonly hash: string;
    readonly commit: string;
    readonly operation: string;
    readonly records: number;
    readonly actor: string;
    readonly receivedAt: number;
    readonly tool?: string;
    readonly importer?: string;
  };
  readonly location:
    | { readonly kind: "inline" }
    | {
        readonly kind: "segment";
        readonly segment: string;
        readonly block: number;
        readonly line: number;
        readonly blobKey: string;
      };
  readonly source?: {
    readonly name: string;
    readonly sha256: string;
    readonly place?: string;
    readonly blob: string;
  };
  readonly projections: readonly {
    readonly role: ProjectedRole;
    readonly name: string;
    readonly state:
      | "present"
      | "missing"
      | "stale"
      | "behind"
      | "quarantined"
      | "empty"
      | "counted"
      | "deleted";
    readonly checkpoint: number;
  }[];
  readonly proof: {
    readonly holds: boolean;
    readonly treeSize: number;
    readonly root: string;
    readonly fault?: string;
  };
}

/** What plays a role, and how it is. */
export interface EngineReport {
  readonly role: StoreRole;
  readonly engine: string;
  /** What a server says of itself, else the engine's product. */
  readonly product: string;
  /** Where a server plays the role and answers. */
  readonly version?: string;
  /** Milliseconds that its answer took. */
  readonly tookMs?: number;
  /** Why a server does not answer, or cannot be used. */
  readonly trouble?: string;
}

/** How an engine would answer a question. */
export interface Explanation {
  readonly role: ProjectedRole;
  readonly engine: string;
  /** The projection that would answer; SQL may ask several. */
  readonly collection?: string;
  readonly generation?: number;
  /** The engine's own plan, one step a line. */
  readonly plan: readonly string[];
}

/** A record type as people see it. */
export interface TypeInfo {
  readonly name: string;
  readonly version: number;
  readonly title: string;
  readonly mode: string;
  readonly scope: string;
  readonly id: string;
  readonly roles: readonly StoreRole[];
  readonly fields: readonly string[];
  readonly records: number;
}
