-- Task credits never fall below zero, whoever writes; `changed` is the version of the directory that last touched it.
CREATE TABLE accounts_new (
  account TEXT PRIMARY KEY,
  workspace TEXT NOT NULL CHECK (workspace IN ('chat', 'tasks', 'aimlapi')),
  balance INTEGER NOT NULL DEFAULT 0,
  requests_per_second INTEGER,
  group_limits TEXT NOT NULL DEFAULT '{}',
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
  created_at INTEGER NOT NULL,
  changed INTEGER NOT NULL DEFAULT 0,
  CONSTRAINT credits_not_negative CHECK (workspace <> 'tasks' OR balance >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO accounts_new (account, workspace, balance, requests_per_second, group_limits, state, created_at)
  SELECT account, workspace, balance, requests_per_second, group_limits, state, created_at FROM accounts;
DROP TABLE accounts;
ALTER TABLE accounts_new RENAME TO accounts;
CREATE INDEX accounts_changed ON accounts (changed);
CREATE TABLE directory (version INTEGER NOT NULL) STRICT;
INSERT INTO directory (version) VALUES (0);

-- Who is at work. What belongs to a worker that is not listed is an orphan.
CREATE TABLE workers (
  worker TEXT PRIMARY KEY,
  lock_key INTEGER NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  beat_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Open holds by worker, so that a restart finds them without reading the whole ledger.
CREATE TABLE holds (
  call TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  worker TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO holds (call, account, worker)
  SELECT call, account, '' FROM transfers AS h WHERE reason = 'hold' AND NOT EXISTS
    (SELECT 1 FROM transfers AS r WHERE r.call = h.call AND r.reason = 'release');

ALTER TABLE tasks ADD COLUMN worker TEXT NOT NULL DEFAULT '';
DROP INDEX tasks_unfinished;
CREATE INDEX tasks_unfinished ON tasks (worker, task) WHERE status = 'processing';

-- The rates behind every charge, by version.
CREATE TABLE rate_cards (
  version TEXT PRIMARY KEY,
  card BLOB NOT NULL,
  first_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
