CREATE TABLE accounts (
  account TEXT PRIMARY KEY,
  workspace TEXT NOT NULL CHECK (workspace IN ('chat', 'tasks', 'aimlapi')),
  balance BIGINT NOT NULL DEFAULT 0,
  requests_per_second BIGINT,
  group_limits TEXT NOT NULL DEFAULT '{}',
  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
  created_at BIGINT NOT NULL
);
CREATE TABLE keys (
  key_id TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  digest BYTEA NOT NULL UNIQUE,
  state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked', 'disabled'))
);
CREATE INDEX keys_of_account ON keys (account);
CREATE TABLE transfers (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  call TEXT NOT NULL,
  reason TEXT NOT NULL
    CHECK (reason IN ('topup', 'hold', 'settle', 'release', 'debit', 'refund', 'overrun')),
  account TEXT NOT NULL REFERENCES accounts,
  counter TEXT NOT NULL CHECK (counter IN ('funding', 'held', 'revenue')),
  amount BIGINT NOT NULL,
  balance_after BIGINT NOT NULL,
  detail BYTEA,
  at BIGINT NOT NULL
);
CREATE UNIQUE INDEX transfers_once ON transfers (call, reason);
CREATE INDEX transfers_of_account ON transfers (account, seq);
CREATE TABLE tasks (
  task TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts,
  model TEXT NOT NULL,
  kind TEXT NOT NULL,
  price BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  status TEXT NOT NULL DEFAULT 'processing' CHECK (status IN ('processing', 'completed', 'failed')),
  job TEXT,
  output BYTEA,
  error BYTEA,
  CHECK ((status = 'completed') = (output IS NOT NULL)),
  CHECK ((status = 'failed') = (error IS NOT NULL))
);
CREATE INDEX tasks_unfinished ON tasks (task) WHERE status = 'processing';
CREATE TABLE idempotency_keys (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  value TEXT NOT NULL,
  account TEXT NOT NULL,
  task TEXT NOT NULL,
  at BIGINT NOT NULL
);
