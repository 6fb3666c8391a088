-- What a provider is told of rewards that were given, what is not sent any more, and how the history of deliveries goes.

-- One call for a player of a contest, made in the transaction in which the first of the player's rewards was given.
CREATE TABLE redemption_call (
  contest_key uuid NOT NULL,
  player_key uuid NOT NULL,
  source text NOT NULL,
  -- 'held': other rewards of the player are still on their way; 'withdrawn': all that was given has been taken back
  state text NOT NULL CHECK (state IN ('held', 'waiting', 'told', 'refused', 'given_up', 'withdrawn')),
  redeemed_at timestamptz NOT NULL,         -- when the last of them was given: what the provider is told
  attempts integer NOT NULL DEFAULT 0,      -- that count for the schedule; a retry begins anew
  next_attempt_at timestamptz NOT NULL,
  claims integer NOT NULL DEFAULT 0,        -- how often it was taken: tells one lease from the next
  claimed_at timestamptz,                   -- while it is somebody's
  last_at timestamptz,
  last_outcome text CHECK (last_outcome IN ('delivered', 'refused', 'throttled', 'not_sent', 'unknown', 'abandoned')),
  last_status integer,
  last_detail text NOT NULL DEFAULT '' CHECK (length(last_detail) <= 1000),
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (contest_key, player_key),
  CHECK (claimed_at IS NULL OR state = 'waiting')
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- What a claim reads: of one source, from what is due first.
CREATE INDEX redemption_call_due ON redemption_call (source, next_attempt_at) WHERE state = 'waiting';
-- What an operator looks for.
CREATE INDEX redemption_call_open ON redemption_call (created_at)
  WHERE state IN ('held', 'waiting', 'refused', 'given_up');

-- A provider takes so many calls in a time. Each takes a slot, and gives it back that time after its answer, so no two
-- calls that had the same slot ever fall into one such time, whichever dispatchers made them.
CREATE TABLE call_slot (
  budget uuid NOT NULL,            -- a digest of what the limit is about: provider and key
  slot smallint NOT NULL CHECK (slot > 0),
  free_at timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (budget, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- 'withdrawn': the reward was taken back before the endpoint can have heard that it was given.
ALTER TABLE delivery DROP CONSTRAINT delivery_state_check;
ALTER TABLE delivery ADD CONSTRAINT delivery_state_check
  CHECK (state IN ('waiting', 'behind', 'delivered', 'given_up', 'withdrawn'));

-- What an operator did is kept for ever; the delivery that it was about is not, and the record keeps its number.
ALTER TABLE dispatch_operation DROP CONSTRAINT dispatch_operation_delivery_id_fkey;

-- What is old enough to go, without looking at the rest.
CREATE INDEX delivery_ended ON delivery (finished_at) WHERE state IN ('delivered', 'withdrawn');
CREATE INDEX outbox_unwanted ON outbox (fanned_out_at) WHERE fanned_out_at IS NOT NULL AND body IS NULL;

-- Nothing that waits, or that somebody must look at, goes.
CREATE FUNCTION history_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% % has not come to its end', TG_TABLE_NAME, OLD.webhook_id USING ERRCODE = 'ES012';
END $$;
CREATE TRIGGER delivery_history_guard BEFORE DELETE ON delivery FOR EACH ROW
  WHEN (OLD.state NOT IN ('delivered', 'withdrawn')) EXECUTE FUNCTION history_guard();
-- A notice with deliveries is kept by their reference to it.
CREATE TRIGGER outbox_history_guard BEFORE DELETE ON outbox FOR EACH ROW
  WHEN (OLD.fanned_out_at IS NULL) EXECUTE FUNCTION history_guard();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    GRANT DELETE ON delivery, delivery_attempt TO matchpurse_app;
    REVOKE DELETE ON redemption_call, call_slot FROM matchpurse_app;
  END IF;
END $$;
