-- Task credits never fall below zero, whoever writes; `changed` is the version of the directory that last touched it.
ALTER TABLE accounts ADD COLUMN changed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD CONSTRAINT credits_not_negative CHECK (workspace <> 'tasks' OR balance >= 0);
CREATE INDEX accounts_changed ON accounts (changed);
CREATE TABLE directory (version BIGINT NOT NULL);
INSERT INTO directory (version) VALUES (0);

-- Who is at work. What belongs to a worker that is not listed is an orphan.
CREATE TABLE workers (
  worker TEXT PRIMARY KEY,
  lock_key BIGINT NOT NULL,
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  beat_at DOUBLE PRECISION NOT NULL
);

-- Open holds by worker, so that a restart finds them without reading the whole ledger.
CREATE TABLE holds (
  call TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  worker TEXT NOT NULL
);
INSERT INTO holds (call, account, worker)
  SELECT call, account, '' FROM transfers AS h WHERE reason = 'hold' AND NOT EXISTS
    (SELECT 1 FROM transfers AS r WHERE r.call = h.call AND r.reason = 'release');

ALTER TABLE tasks ADD COLUMN worker TEXT NOT NULL DEFAULT '';
DROP INDEX tasks_unfinished;
CREATE INDEX tasks_unfinished ON tasks (worker, task) WHERE status = 'processing';

-- The rates behind every charge, by version.
CREATE TABLE rate_cards (
  version TEXT PRIMARY KEY,
  card BYTEA NOT NULL,
  first_used_at BIGINT NOT NULL
);

-- Counts of the current second and calls that are running; worth nothing after a crash of the server.
CREATE UNLOGGED TABLE rate_windows (
  name TEXT PRIMARY KEY,
  second BIGINT NOT NULL,
  count BIGINT NOT NULL
);
CREATE UNLOGGED TABLE running_calls (
  slot TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  worker TEXT NOT NULL
);
CREATE INDEX running_calls_of_account ON running_calls (account);
