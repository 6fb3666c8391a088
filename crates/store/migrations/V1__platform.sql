-- What every worker stands on: players, inbox, attempts, spool, parked events, anomalies, outbox, archive.

-- The role that services may log in through. Whoever migrates owns the tables; services need less.
DO $$
BEGIN
  CREATE ROLE matchpurse_app NOLOGIN;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE NOTICE 'role matchpurse_app was not created: no privilege; the services run as the owner';
END $$;

-- Tables of later migrations are covered too; a table that must be append-only takes back what it gives too
-- much (as the archive does below).
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO matchpurse_app;
    ALTER DEFAULT PRIVILEGES GRANT USAGE, SELECT ON SEQUENCES TO matchpurse_app;
  END IF;
END $$;

-- The surrogate by which tables name a player; a UUIDv5 of source and id, so nobody needs to look it up.
CREATE TABLE player (
  player_key uuid PRIMARY KEY,
  source text NOT NULL,
  player_id text NOT NULL,
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (source, player_id)
);

-- Which worker has seen which event: it saves work, and is pruned. Every effect has a permanent key besides.
CREATE TABLE inbox (
  worker text NOT NULL,
  event_id uuid NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (worker, event_id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2);
-- The old rows are found without reading the others. No BRIN: new rows fill the pages that pruned ones left,
-- and then every range of pages has old and new rows.
CREATE INDEX inbox_seen ON inbox (seen_at);

-- Events that could not be applied, while they are still being tried.
CREATE TABLE attempts (
  worker text NOT NULL,
  event_id uuid NOT NULL,
  attempts integer NOT NULL CHECK (attempts > 0),
  last_error text NOT NULL,
  first_at timestamptz NOT NULL DEFAULT now(),
  last_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (worker, event_id)
) WITH (fillfactor = 80);

-- Messages that wait for the broker, or for the workers where there is no broker.
CREATE SEQUENCE spool_position;
CREATE TABLE spool (
  position bigint PRIMARY KEY,
  event_id uuid NOT NULL,
  payload text NOT NULL,
  routing_key text NOT NULL,
  headers jsonb NOT NULL,
  body bytea NOT NULL,
  appended_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
-- A queue: each row is updated once or twice and deleted, so space for HOT updates and an eager vacuum.
CREATE TABLE spool_destination (
  position bigint NOT NULL,
  destination text NOT NULL,
  available_at timestamptz NOT NULL DEFAULT '-infinity',
  attempts integer NOT NULL DEFAULT 0,
  PRIMARY KEY (position, destination)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX spool_destination_order ON spool_destination (destination, position);

-- Deliveries that could not be applied: visible and replayable until somebody resolves them.
CREATE TABLE parked (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id uuid NOT NULL,
  queue text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('technical', 'unrecognized', 'dead_letter')),
  reason text NOT NULL,
  body bytea NOT NULL,
  routing_key text NOT NULL,
  traceparent text,
  parked_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  resolution text,
  resolved_by text,
  CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
CREATE UNIQUE INDEX parked_once ON parked (queue, event_id) WHERE resolved_at IS NULL;
CREATE INDEX parked_open ON parked (id) WHERE resolved_at IS NULL;
CREATE INDEX parked_event ON parked (event_id);

-- What contradicts itself or another event. Money stands still until a person decides.
CREATE TABLE anomaly (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text NOT NULL UNIQUE,   -- what it means; kept for ever, so the same event opens no second one
  kind text NOT NULL,
  source text NOT NULL,
  subject text NOT NULL,
  event_id uuid,
  detail jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  resolution text,
  resolved_by text,
  CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
CREATE INDEX anomaly_open ON anomaly (id) WHERE resolved_at IS NULL;
CREATE INDEX anomaly_subject ON anomaly (source, subject);

-- Notices to the studio, written with the effects that they tell of.
CREATE TABLE outbox (
  webhook_id uuid PRIMARY KEY,   -- a UUIDv5 of what it tells: a repeat adds nothing
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  source text NOT NULL,
  kind text NOT NULL,
  subject text NOT NULL,
  payload jsonb NOT NULL,
  occurred_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL DEFAULT now(),
  last_status integer,
  last_error text,
  delivered_at timestamptz,
  given_up_at timestamptz,
  CHECK (delivered_at IS NULL OR given_up_at IS NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- Empty while nothing waits, however long the history is.
CREATE INDEX outbox_due ON outbox (next_attempt_at, position)
  WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX outbox_given_up ON outbox (position) WHERE given_up_at IS NOT NULL;
CREATE INDEX outbox_subject ON outbox (source, subject);

-- Every event with the body that brought it. Rows of a source form a chain: each hash covers the row and the
-- hash before it, so a row that is changed, removed or put in between is found.
CREATE TABLE archive (
  source text NOT NULL,
  seq bigint NOT NULL CHECK (seq > 0),
  event_id uuid NOT NULL UNIQUE,
  delivery_id uuid NOT NULL,
  payload text NOT NULL,
  provider text NOT NULL,
  provider_type text NOT NULL,
  subject text NOT NULL,
  occurred_at timestamptz,
  received_at timestamptz NOT NULL,
  archived_at timestamptz NOT NULL,
  raw bytea NOT NULL,
  event bytea NOT NULL,          -- protobuf, without the raw body
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (source, seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE INDEX archive_subject ON archive (source, subject, seq);
CREATE INDEX archive_delivery ON archive (delivery_id);
CREATE INDEX archive_received ON archive (received_at DESC, event_id);

-- The end of each source's chain; locking it makes the chain one line.
CREATE TABLE archive_head (
  source text PRIMARY KEY,
  seq bigint NOT NULL CHECK (seq >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 50);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON archive FROM matchpurse_app;
  END IF;
END $$;
