-- Rewards: what decides about them, and what was given to whom.

-- A free contest, the end of a match, a conversion on an offerwall or a wish for credit: decided once.
CREATE TABLE contest (
  contest_key uuid PRIMARY KEY,    -- a UUIDv5 of source, kind and the provider's id
  source text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('contest', 'match', 'postback', 'conversion')),
  contest_id text NOT NULL,        -- of a postback the conversion's id, of a conversion the intent's
  -- null while it runs
  ending text CHECK (ending IN ('outcome', 'closed', 'closed_tie', 'canceled', 'credited', 'answered')),
  outcome_digest bytea CHECK (octet_length(outcome_digest) = 32),
  entries jsonb,                   -- [{player, outcome, reward_ref, digest}]: a repeat is told by its digests
  first_event_id uuid NOT NULL,
  decided_event_id uuid,
  decided_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (source, kind, contest_id),
  CONSTRAINT decided_whole CHECK ((ending IS NULL) = (outcome_digest IS NULL)
    AND (ending IS NULL) = (entries IS NULL) AND (ending IS NULL) = (decided_event_id IS NULL)
    AND (ending IS NULL) = (decided_at IS NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- The key of a grant is its meaning, kept for ever: one player, one contest, one reference, one reward.
CREATE TABLE reward_grant (
  grant_id uuid PRIMARY KEY,       -- a UUIDv5 of contest, player and reference
  contest_key uuid NOT NULL,
  source text NOT NULL,
  player_key uuid NOT NULL,
  reward_ref text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('cash', 'studio', 'points', 'credit')),
  amount bigint CHECK (amount >= 0),   -- minor units
  currency text,
  value text,                      -- the provider's; null until somebody names it
  payload jsonb,
  state text NOT NULL CHECK (state IN ('reserved', 'granted', 'needs_review', 'recorded', 'released',
                                       'delivering', 'fulfilled', 'failed', 'reversed')),
  reason text,                     -- why it is in review
  event_id uuid NOT NULL,          -- the last event that changed it
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (contest_key, player_key, reward_ref),
  CONSTRAINT amount_with_currency CHECK ((amount IS NULL) = (currency IS NULL)),
  CONSTRAINT review_has_reason CHECK (state <> 'needs_review' OR reason IS NOT NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX reward_grant_player ON reward_grant (player_key, created_at);
CREATE INDEX reward_grant_created ON reward_grant (created_at, grant_id);
-- What waits for a person: short, whatever the table's size.
CREATE INDEX reward_grant_attention ON reward_grant (created_at) WHERE state IN ('needs_review', 'failed');

-- What was once more than a promise never becomes one again, and what it is stays. Only the provider's value may
-- follow once, because the promise that names it may come after the outcome.
CREATE FUNCTION reward_grant_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state IN ('reserved', 'released') THEN
    RAISE EXCEPTION 'grant % is % and would become a promise', OLD.grant_id, OLD.state USING ERRCODE = 'ES004';
  END IF;
  IF (NEW.contest_key, NEW.player_key, NEW.reward_ref, NEW.kind, NEW.amount, NEW.currency) IS DISTINCT FROM
     (OLD.contest_key, OLD.player_key, OLD.reward_ref, OLD.kind, OLD.amount, OLD.currency)
     OR (OLD.value IS NOT NULL AND NEW.value IS DISTINCT FROM OLD.value) THEN
    RAISE EXCEPTION 'the value of grant % would change', OLD.grant_id USING ERRCODE = 'ES005';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER reward_grant_guard BEFORE UPDATE ON reward_grant FOR EACH ROW
  WHEN (OLD.state NOT IN ('reserved', 'released')) EXECUTE FUNCTION reward_grant_guard();

-- Players' wishes to turn money into credit, with the answer that the provider got.
CREATE TABLE credit_conversion (
  source text NOT NULL,
  intent_id text NOT NULL,
  player_key uuid NOT NULL,
  amount bigint NOT NULL,          -- minor units
  currency text NOT NULL,
  converted_amount text NOT NULL,  -- as the provider wrote it
  answer text NOT NULL,
  first_event_id uuid NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (source, intent_id)
);
CREATE INDEX credit_conversion_player ON credit_conversion (player_key, at);
