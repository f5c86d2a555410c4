import type { Pack } from "@custody/contract/importer";

import { auditPack } from "./audit/audit-pack.ts";
import { fortressPack } from "./fortress/fortress-pack.ts";
import { redteamPack } from "./redteam/redteam-pack.ts";

/** Every pack: the record types, importers and summaries that a Custody server knows. */
export const PACKS: readonly Pack[] = [redteamPack, fortressPack, auditPack];
