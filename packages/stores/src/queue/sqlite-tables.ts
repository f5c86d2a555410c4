/**
 * Tables of a tenant's queue file.
 *
 * `due_at` is the instant at which a state ends or began: when a waiting task is due, when a claimed
 * one's lease runs out, when a done one was done. `died_at` stays when a dead letter is revived, so that a
 * list of dead letters can go on from it. `fencing` has one row: the last
 * token given, which outlives the task it was given for.
 */
export const QUEUE_TABLES: string = `
  CREATE TABLE IF NOT EXISTS task (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    payload BLOB NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_max INTEGER NOT NULL,
    backoff_ms INTEGER NOT NULL,
    token INTEGER NOT NULL DEFAULT 0,
    worker TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    died_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (queue, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS task_by_priority ON task (queue, priority DESC, number) WHERE state = 'due';
  CREATE INDEX IF NOT EXISTS task_by_death ON task (queue, died_at, id) WHERE state = 'dead';
  CREATE INDEX IF NOT EXISTS task_by_due ON task (queue, state, due_at);
  CREATE TABLE IF NOT EXISTS schedule (
    queue TEXT NOT NULL,
    id TEXT NOT NULL,
    every_ms INTEGER NOT NULL,
    start_at INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    payload BLOB NOT NULL,
    priority INTEGER NOT NULL,
    PRIMARY KEY (queue, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS fencing (token INTEGER NOT NULL) STRICT;
  INSERT INTO fencing SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM fencing);
`;
