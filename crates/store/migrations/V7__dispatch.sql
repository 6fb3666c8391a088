-- Notices on their way to the studio: who is told, of what, how often it was tried, and what they answered.

-- Where notices go. Those of the configuration are brought in by the dispatcher; their secrets stay outside.
CREATE TABLE endpoint (
  endpoint_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  origin text NOT NULL CHECK (origin IN ('configuration', 'api')),
  url text NOT NULL,                        -- its query may hold a token: shown without it
  events text[] NOT NULL DEFAULT '{}',      -- patterns; none means all
  sources text[] NOT NULL DEFAULT '{}',     -- names; none means all
  ordered boolean NOT NULL DEFAULT false,   -- one notice of a subject after the other
  status_url text,                          -- asked before what may have arrived is sent again
  allow_private boolean NOT NULL DEFAULT false,
  -- 'gone': it answered 410; 'operator': somebody stopped it; both keep what is for them. 'removed': it left the
  -- configuration, or was removed; nothing new is for it.
  disabled text CHECK (disabled IN ('gone', 'operator', 'removed')),
  disabled_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  -- How it fares, for every dispatcher alike.
  failures integer NOT NULL DEFAULT 0,      -- since the last success
  openings integer NOT NULL DEFAULT 0,      -- of its circuit breaker since the last success; 0: it is closed
  width integer CHECK (width > 0),          -- sends at once, where it cannot take as many as configured
  paused_until timestamptz,
  CHECK ((disabled IS NULL) = (disabled_at IS NULL)),
  -- Only who writes the configuration may let us into a private network.
  CHECK (origin = 'configuration' OR NOT allow_private)
) WITH (fillfactor = 70);

-- Apart from the endpoint, so that whoever shows one never shows these.
CREATE TABLE endpoint_secret (
  endpoint_id integer NOT NULL REFERENCES endpoint ON DELETE CASCADE,
  secret text NOT NULL,
  added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (endpoint_id, secret)
);

-- One notice for one endpoint, made once. Its claim is a lease: until `next_attempt_at` it is somebody's.
CREATE TABLE delivery (
  delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  endpoint_id integer NOT NULL REFERENCES endpoint,
  webhook_id uuid NOT NULL REFERENCES outbox,
  position bigint NOT NULL,                 -- the notice's, in the outbox
  line uuid,                                -- of source and subject, where the endpoint wants order
  state text NOT NULL CHECK (state IN ('waiting', 'behind', 'delivered', 'given_up')),
  attempts integer NOT NULL DEFAULT 0,      -- that count for the schedule; a retry begins anew
  next_attempt_at timestamptz NOT NULL,
  claims integer NOT NULL DEFAULT 0,        -- how often it was taken: tells one lease from the next
  claimed_at timestamptz,                   -- while it is somebody's
  unknown boolean NOT NULL DEFAULT false,   -- it may have arrived: no answer came, or the sender died
  created_at timestamptz NOT NULL,
  finished_at timestamptz,
  UNIQUE (webhook_id, endpoint_id),
  CHECK (state <> 'behind' OR line IS NOT NULL),
  CHECK ((finished_at IS NULL) = (state IN ('waiting', 'behind'))),
  CHECK (claimed_at IS NULL OR state = 'waiting')
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
-- What a claim reads: of one endpoint, from what is due first. What is finished is not in it.
CREATE INDEX delivery_due ON delivery (endpoint_id, next_attempt_at, position) WHERE state = 'waiting';
-- Who is next when a line moves on.
CREATE INDEX delivery_line ON delivery (endpoint_id, line, position)
  WHERE line IS NOT NULL AND state IN ('waiting', 'behind');
CREATE INDEX delivery_behind ON delivery (endpoint_id, delivery_id) WHERE state = 'behind';
CREATE INDEX delivery_given_up ON delivery (delivery_id) WHERE state = 'given_up';
CREATE INDEX delivery_endpoint ON delivery (endpoint_id, delivery_id);

-- What was tried. An attempt whose sender died has no answer, and is entered when its lease has run out.
CREATE TABLE delivery_attempt (
  delivery_id bigint NOT NULL,
  claim integer NOT NULL,
  at timestamptz NOT NULL,
  took_ms integer,
  outcome text NOT NULL CHECK (outcome IN ('delivered', 'confirmed', 'refused', 'gone', 'throttled', 'not_sent',
                                           'unknown', 'abandoned')),
  status integer,
  detail text NOT NULL DEFAULT '' CHECK (length(detail) <= 1000),
  PRIMARY KEY (delivery_id, claim)
);

-- What people, and an answer of 410, did to endpoints and deliveries.
CREATE TABLE dispatch_operation (
  operation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('endpoint_added', 'endpoint_changed', 'endpoint_disabled', 'endpoint_enabled',
                                     'endpoint_removed', 'delivery_retried')),
  endpoint_id integer NOT NULL REFERENCES endpoint,
  delivery_id bigint REFERENCES delivery,
  actor text NOT NULL CHECK (actor <> ''),
  reason text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((kind = 'delivery_retried') = (delivery_id IS NOT NULL))
);
CREATE INDEX dispatch_operation_endpoint ON dispatch_operation (endpoint_id, operation_id);
CREATE INDEX dispatch_operation_delivery ON dispatch_operation (delivery_id) WHERE delivery_id IS NOT NULL;

CREATE TRIGGER dispatch_operation_guard BEFORE UPDATE OR DELETE ON dispatch_operation
  FOR EACH ROW EXECUTE FUNCTION operation_guard();
CREATE TRIGGER dispatch_operation_guard_truncate BEFORE TRUNCATE ON dispatch_operation
  FOR EACH STATEMENT EXECUTE FUNCTION operation_guard();

-- A notice is handed to its endpoints once; how each of them fares stands with its delivery. Nobody ever read or wrote
-- what goes here, and the indexes and the check on it go with it.
ALTER TABLE outbox
  DROP COLUMN attempts,
  DROP COLUMN next_attempt_at,
  DROP COLUMN last_status,
  DROP COLUMN last_error,
  DROP COLUMN delivered_at,
  DROP COLUMN given_up_at,
  ADD COLUMN fanned_out_at timestamptz,
  ADD COLUMN body bytea,   -- what is sent, the same bytes at every attempt; none where nobody wanted it
  ADD CHECK (body IS NULL OR fanned_out_at IS NOT NULL);
-- Empty while nothing is new, however long the history is.
CREATE INDEX outbox_new ON outbox (position) WHERE fanned_out_at IS NULL;

-- What is sent under a webhook-id never changes.
CREATE FUNCTION outbox_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the body of notice % would change', OLD.webhook_id USING ERRCODE = 'ES011';
END $$;
CREATE TRIGGER outbox_guard BEFORE UPDATE ON outbox FOR EACH ROW
  WHEN (OLD.body IS NOT NULL AND NEW.body IS DISTINCT FROM OLD.body)
  EXECUTE FUNCTION outbox_guard();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON dispatch_operation FROM matchpurse_app;
    REVOKE DELETE ON endpoint, delivery, delivery_attempt FROM matchpurse_app;
  END IF;
END $$;
