/** On whose behalf a call is made, and until when it is worth answering. */
export interface Scope {
  /** The tenant whose data may be touched; checked by `checkTenant`. */
  readonly tenant: string;
  /** The person whose own files are meant, for types of `scope: owner`. */
  readonly owner?: string;
  /** Who acts, for the audit trail: `user:ana`, `service:importer`. */
  readonly actor: string;
  /** Epoch milliseconds after which the answer is of no use; `Infinity` for none. */
  readonly deadline: number;
}
