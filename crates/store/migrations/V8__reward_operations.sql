-- Rewards: what is held for a person and why, how much is given in a time, what people do, and the answers that must
-- stay the same for ever.

-- An offerwall may take a conversion back before it has come.
ALTER TABLE contest DROP CONSTRAINT contest_ending_check;
ALTER TABLE contest ADD CONSTRAINT contest_ending_check
  CHECK (ending IN ('outcome', 'closed', 'closed_tie', 'canceled', 'credited', 'answered', 'reversed'));

ALTER TABLE reward_grant
  ADD COLUMN detail text,              -- why it is in review, in words
  -- the windows in which it was counted, where its source had limits
  ADD COLUMN counted_day timestamptz,
  ADD COLUMN counted_hour timestamptz;
-- What an operator looks for: by state, by source.
CREATE INDEX reward_grant_state ON reward_grant (state, created_at, grant_id)
  WHERE state NOT IN ('fulfilled', 'recorded', 'released');
CREATE INDEX reward_grant_source ON reward_grant (source, created_at, grant_id);

-- How much was given in a window: a player's day, or an hour of the whole source, whose player is the nil UUID. A
-- worker locks the row before it decides, so two of them cannot both take what is left.
CREATE TABLE reward_count (
  source text NOT NULL,
  player_key uuid NOT NULL,
  starts_at timestamptz NOT NULL,
  grants bigint NOT NULL DEFAULT 0 CHECK (grants >= 0),
  amount bigint NOT NULL DEFAULT 0 CHECK (amount >= 0),   -- minor units of the source's currency
  PRIMARY KEY (source, player_key, starts_at)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- What a provider was answered when it asked something about money. Written before the delivery is published; the
-- first one stays.
CREATE TABLE conversion_answer (
  source text NOT NULL,
  intent_id text NOT NULL,
  answer text NOT NULL,            -- the provider's word
  body bytea NOT NULL,             -- the whole of what was answered
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, intent_id)
);

CREATE FUNCTION conversion_answer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'answers are only ever added' USING ERRCODE = 'ES010';
END $$;
CREATE TRIGGER conversion_answer_guard BEFORE UPDATE OR DELETE ON conversion_answer
  FOR EACH ROW EXECUTE FUNCTION conversion_answer_guard();
CREATE TRIGGER conversion_answer_guard_truncate BEFORE TRUNCATE ON conversion_answer
  FOR EACH STATEMENT EXECUTE FUNCTION conversion_answer_guard();

-- What people do to grants. The subject is the contest's id; the grant stands in the detail.
ALTER TABLE operation DROP CONSTRAINT operation_kind_check;
ALTER TABLE operation ADD CONSTRAINT operation_kind_check
  CHECK (kind IN ('deposit', 'withdrawal', 'correction', 'deadline',
                  'reward_release', 'reward_reversal', 'reward_retry'));
CREATE INDEX operation_grant ON operation ((detail ->> 'grant_id'), position) WHERE detail ? 'grant_id';

-- What was once more than a promise never becomes one again, and what it is stays; what was taken back, or is the
-- provider's to give, stays so; and only a person's word or a payload that was missing ends a review. A value may
-- follow once, because the promise that names it may come after the outcome, and so may the amount of what was taken
-- back before it came.
CREATE OR REPLACE FUNCTION reward_grant_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state IN ('reserved', 'released') THEN
    RAISE EXCEPTION 'grant % is % and would become a promise', OLD.grant_id, OLD.state USING ERRCODE = 'ES004';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state IN ('reversed', 'recorded') OR NEW.state IN ('needs_review', 'recorded')
     OR OLD.state = 'needs_review' AND NEW.state NOT IN ('granted', 'reversed')) THEN
    RAISE EXCEPTION 'grant % is % and would become %', OLD.grant_id, OLD.state, NEW.state USING ERRCODE = 'ES009';
  END IF;
  IF (NEW.contest_key, NEW.player_key, NEW.reward_ref, NEW.kind) IS DISTINCT FROM
     (OLD.contest_key, OLD.player_key, OLD.reward_ref, OLD.kind)
     OR ((NEW.amount, NEW.currency) IS DISTINCT FROM (OLD.amount, OLD.currency)
         AND NOT (OLD.state = 'reversed' AND OLD.amount IS NULL))
     OR (OLD.value IS NOT NULL AND NEW.value IS DISTINCT FROM OLD.value)
     OR (OLD.payload IS NOT NULL AND NEW.payload IS DISTINCT FROM OLD.payload) THEN
    RAISE EXCEPTION 'the value of grant % would change', OLD.grant_id USING ERRCODE = 'ES005';
  END IF;
  RETURN NEW;
END $$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON conversion_answer FROM matchpurse_app;
    REVOKE DELETE ON contest, reward_grant, reward_count, credit_conversion FROM matchpurse_app;
  END IF;
END $$;
