/**
 * The tables of the journal in SQLite.
 *
 * Tenants and types are numbers in every key: the id index is most of the file, and its keys are
 * then 4 bytes longer than the id itself.
 */
export const JOURNAL_SCHEMA = `
CREATE TABLE tenant (tenant_no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE type (type_no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE head (tenant_no INTEGER PRIMARY KEY, timeline TEXT NOT NULL, sequence INTEGER NOT NULL,
  last_entry_hash BLOB NOT NULL, last_received_at INTEGER NOT NULL, frontier BLOB NOT NULL) STRICT;
CREATE TABLE entry (tenant_no INTEGER NOT NULL, sequence INTEGER NOT NULL, hash BLOB NOT NULL,
  bytes BLOB NOT NULL, commit_id TEXT NOT NULL, type_no INTEGER NOT NULL, operation TEXT NOT NULL,
  count INTEGER NOT NULL, received_at INTEGER NOT NULL, segment_id TEXT, first_line INTEGER,
  PRIMARY KEY (tenant_no, sequence)) STRICT, WITHOUT ROWID;
CREATE INDEX entry_type ON entry (tenant_no, type_no, sequence);
CREATE TABLE entry_lines (tenant_no INTEGER NOT NULL, sequence INTEGER NOT NULL, lines BLOB NOT NULL,
  PRIMARY KEY (tenant_no, sequence)) STRICT;
CREATE TABLE record_id (tenant_no INTEGER NOT NULL, type_no INTEGER NOT NULL, id TEXT NOT NULL,
  sequence INTEGER NOT NULL, place INTEGER NOT NULL, content_hash BLOB NOT NULL,
  PRIMARY KEY (tenant_no, type_no, id, sequence)) STRICT, WITHOUT ROWID;
CREATE TABLE id_count (tenant_no INTEGER NOT NULL, type_no INTEGER NOT NULL, live INTEGER NOT NULL,
  total INTEGER NOT NULL, PRIMARY KEY (tenant_no, type_no)) STRICT, WITHOUT ROWID;
CREATE TABLE tree_node (tenant_no INTEGER NOT NULL, level INTEGER NOT NULL, position INTEGER NOT NULL,
  hash BLOB NOT NULL, PRIMARY KEY (tenant_no, level, position)) STRICT, WITHOUT ROWID;
CREATE TABLE tree_head (tenant_no INTEGER NOT NULL, size INTEGER NOT NULL, head BLOB NOT NULL,
  PRIMARY KEY (tenant_no, size)) STRICT, WITHOUT ROWID;
CREATE TABLE segment (tenant_no INTEGER NOT NULL, segment_id TEXT NOT NULL, blob_key TEXT NOT NULL,
  bytes INTEGER NOT NULL, lines INTEGER NOT NULL, hash BLOB NOT NULL, period TEXT NOT NULL,
  PRIMARY KEY (tenant_no, segment_id)) STRICT, WITHOUT ROWID;
CREATE TABLE intent (tenant_no INTEGER NOT NULL, segment_id TEXT NOT NULL, blob_key TEXT NOT NULL,
  expires_at INTEGER NOT NULL, PRIMARY KEY (tenant_no, segment_id)) STRICT, WITHOUT ROWID;
CREATE TABLE receipt (tenant_no INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
  receipt TEXT NOT NULL, PRIMARY KEY (tenant_no, kind, key)) STRICT, WITHOUT ROWID;
CREATE TABLE state (tenant_no INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (tenant_no, name)) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (tenant_no INTEGER NOT NULL, role TEXT NOT NULL, collection TEXT NOT NULL,
  type TEXT NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL, reason TEXT NOT NULL,
  at INTEGER NOT NULL, since INTEGER NOT NULL, passed_by INTEGER, PRIMARY KEY (tenant_no, role, collection, type, id)) STRICT, WITHOUT ROWID;
CREATE TABLE declared_table (name TEXT PRIMARY KEY, columns TEXT NOT NULL, is_unique TEXT NOT NULL)
  STRICT, WITHOUT ROWID;
`;

/** Marks the file as a journal of this layout (`PRAGMA application_id`, "CuJ1"). */
export const JOURNAL_APPLICATION_ID = 0x43_75_4a_31;

/** The newest layout, kept as `PRAGMA user_version`. */
export const JOURNAL_LAYOUT = 1;

/** What brings a journal of an older layout (the index) to the next one. */
export const JOURNAL_UPGRADES: readonly string[] = [
  `ALTER TABLE quarantine ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE quarantine ADD COLUMN passed_by INTEGER;
   UPDATE quarantine SET since = sequence;`,
];
