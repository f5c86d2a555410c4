import type { StoreRole } from "@custody/contract/placement";

import type { DiskReport } from "./journal/disk-room.ts";
import type { BreakerReport, ProjectedRole } from "./stores.ts";

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
  /** Why a store does not answer, or why a stream is waited for or has refused an event. */
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
  /** The disks that the journal and the embedded stores lie on, where they can be looked at. */
  readonly disks: readonly DiskReport[];
  /** The stores that are asked more rarely now, as they do not answer. */
  readonly breakers: readonly BreakerReport[];
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

/** A month of the journal in a comparison. */
export interface MonthCompared {
  /** `YYYY-MM` of the time of receipt, UTC; empty for rows that many records share. */
  readonly month: string;
  /** Rows that the store should hold of it. */
  readonly records: number;
  readonly differences: number;
}

/** One projection of a tenant, compared with the journal. */
export interface ProjectionCompared {
  readonly tenant: string;
  readonly role: ProjectedRole;
  readonly name: string;
  /** The record types that it holds. */
  readonly types: readonly string[];
  readonly checkpoint: number;
  readonly records: number;
  readonly differences: number;
  /** True when there are more differences than are told one by one: `differences` is then a lower bound. */
  readonly isCut: boolean;
  readonly kinds: Readonly<Record<Difference["kind"], number>>;
  readonly months: readonly MonthCompared[];
  /** At most 1,000 of them. */
  readonly examples: readonly Difference[];
  /** Differences that were there before a repair and are no longer. */
  readonly repaired: number;
  /** How it was repaired: its rows, or all of it built anew. */
  readonly mended?: "rows" | "rebuild";
}

/** A file whose bytes are not those that the journal tells of. */
export interface FileFault {
  readonly tenant: string;
  readonly kind: "segment" | "original";
  /** The segment's id, or the key of the original's blob. */
  readonly at: string;
  readonly reason: string;
}

/** Files that a deep comparison read whole. */
export interface FileCheck {
  /** Segments whose bytes are those that were committed. */
  readonly segments: number;
  /** Originals whose bytes are those that were imported. */
  readonly originals: number;
  /** Originals that cannot be read any more, as their key was destroyed. */
  readonly withoutKey: number;
  readonly bytes: number;
  readonly faults: readonly FileFault[];
}

/** A projection whose store did not answer, so that nobody knows what it holds. */
export interface NotCompared extends Pick<ProjectionCompared, "tenant" | "role" | "name"> {
  /** What was said when it did not answer. */
  readonly reason: string;
}

export interface ReconcileReport {
  /** True when everything was compared, and nothing differs. */
  readonly ok: boolean;
  readonly projections: readonly ProjectionCompared[];
  readonly notCompared: readonly NotCompared[];
  /** Only of a deep comparison. */
  readonly files?: FileCheck;
}

/** How far a comparison has come. */
export interface ReconcileProgress {
  readonly tenant: string;
  /** Reading the journal, comparing stores, or reading files. */
  readonly phase: "journal" | "stores" | "files";
  /** Entries or projections, by the phase. */
  readonly done: number;
  readonly of: number;
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
  /** Set while calls of the store, or of the journal in it, are refused without asking it. */
  readonly breakers?: readonly BreakerReport[];
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
