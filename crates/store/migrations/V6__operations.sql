-- What people and the clock do to the ledger beside the providers' events: deposits, withdrawals, corrections,
-- deadlines.

-- Written once each; a transfer that one of them caused names it as its event. What an operator did can so be read
-- and played again like an event.
CREATE TABLE operation (
  operation_id uuid PRIMARY KEY,  -- a UUIDv5 of the source and the idempotency key, or of match and generation
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  kind text NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'correction', 'deadline')),
  source text NOT NULL,
  subject text NOT NULL,          -- the player's or the match's id at the provider
  match_no bigint,
  actor text NOT NULL CHECK (actor <> ''),
  approved_by text,
  reason text NOT NULL,
  amount bigint CHECK (amount > 0),
  currency text,
  detail jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT now(),
  CHECK ((kind IN ('deposit', 'withdrawal')) = (amount IS NOT NULL)),
  CHECK ((amount IS NULL) = (currency IS NULL)),
  CHECK ((kind IN ('correction', 'deadline')) = (match_no IS NOT NULL))
);
CREATE INDEX operation_subject ON operation (source, subject, position);

CREATE FUNCTION operation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'operations are only ever added' USING ERRCODE = 'ES003';
END $$;
CREATE TRIGGER operation_guard BEFORE UPDATE OR DELETE ON operation
  FOR EACH ROW EXECUTE FUNCTION operation_guard();
CREATE TRIGGER operation_guard_truncate BEFORE TRUNCATE ON operation
  FOR EACH STATEMENT EXECUTE FUNCTION operation_guard();

-- An end that a person sets. It may wait for a second person.
CREATE TABLE correction (
  correction_id uuid PRIMARY KEY,
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  match_no bigint NOT NULL,
  generation smallint NOT NULL,   -- that it makes: the next one, or the match's own where it had not ended
  state text NOT NULL CHECK (state IN ('proposed', 'applied', 'rejected')),
  verdict jsonb NOT NULL,
  reason text NOT NULL CHECK (reason <> ''),
  seen_event_id uuid NOT NULL,    -- the match's last event when it was proposed: what the proposer looked at
  approvals smallint NOT NULL CHECK (approvals IN (1, 2)),
  proposed_by text NOT NULL CHECK (proposed_by <> ''),
  proposed_at timestamptz NOT NULL DEFAULT now(),
  decided_by text CHECK (decided_by <> ''),
  decided_at timestamptz,
  decision_reason text,
  CHECK ((state = 'proposed') = (decided_by IS NULL)),
  CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
  CONSTRAINT two_persons CHECK (approvals = 1 OR state <> 'applied' OR decided_by <> proposed_by)
);
CREATE UNIQUE INDEX one_proposal_per_match ON correction (match_no) WHERE state = 'proposed';
CREATE UNIQUE INDEX one_correction_per_generation ON correction (match_no, generation) WHERE state = 'applied';

-- A match's generation: how often its end was set anew. Sums, seats and settlement are those of the present one.
ALTER TABLE match
  ADD COLUMN generation smallint NOT NULL DEFAULT 0 CHECK (generation >= 0),
  ADD COLUMN claimed_end boolean NOT NULL DEFAULT false,   -- an end came that could not be settled
  -- digests of the ends that were overruled or that contradict, 32 bytes each, one behind the other
  ADD COLUMN other_ends bytea NOT NULL DEFAULT '' CHECK (octet_length(other_ends) % 32 = 0);
-- It counted what the match counts now; nobody ever wrote another value than 0.
ALTER TABLE match_participant DROP COLUMN generation;

-- When a person was asked to decide; the clock does nothing more then.
ALTER TABLE match_deadline ADD COLUMN asked_at timestamptz;
DROP INDEX match_deadline_due;
CREATE INDEX match_deadline_due ON match_deadline (due_at) WHERE asked_at IS NULL;

-- 1 hold, 2 payout, 3 refund, 4 fee, 5 reward, 6 top-up, 7 reversal, 8 deposit, 9 withdrawal
ALTER TABLE transfer DROP CONSTRAINT transfer_kind_check;
ALTER TABLE transfer ADD CONSTRAINT transfer_kind_check CHECK (kind BETWEEN 1 AND 9);
-- Deposits and withdrawals belong to no match, everything else does.
ALTER TABLE transfer ADD CONSTRAINT transfer_match_check CHECK ((match_no = 0) = (kind IN (5, 8, 9)));

-- A balance at a moment is a sum over these, read from the index alone.
DROP INDEX transfer_debit;
DROP INDEX transfer_credit;
CREATE INDEX transfer_debit ON transfer (debit_id, recorded_at) INCLUDE (amount);
CREATE INDEX transfer_credit ON transfer (credit_id, recorded_at) INCLUDE (amount);

-- A story is told in the order in which it was written, also within one transaction.
ALTER TABLE anomaly ALTER COLUMN at SET DEFAULT clock_timestamp();
ALTER TABLE outbox ALTER COLUMN created_at SET DEFAULT clock_timestamp();

-- A settlement is written once, and a status only climbs; only an applied correction opens the next generation.
CREATE OR REPLACE FUNCTION match_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.generation <> OLD.generation THEN
    IF NEW.generation <> OLD.generation + 1 OR OLD.settlement IS NULL OR NEW.settlement IS NULL
       OR NOT EXISTS (SELECT FROM correction c
                       WHERE (c.match_no, c.generation, c.state) = (OLD.match_no, NEW.generation, 'applied')) THEN
      RAISE EXCEPTION 'match % has no correction that makes generation %', OLD.match_no, NEW.generation
        USING ERRCODE = 'ES006';
    END IF;
  ELSIF OLD.settlement IS NOT NULL AND (NEW.settlement, NEW.status, NEW.paid, NEW.refunded, NEW.fee, NEW.pot)
       IS DISTINCT FROM (OLD.settlement, OLD.status, OLD.paid, OLD.refunded, OLD.fee, OLD.pot) THEN
    RAISE EXCEPTION 'match % is settled as % already', OLD.match_no, OLD.settlement USING ERRCODE = 'ES001';
  END IF;
  IF NEW.rank < OLD.rank THEN
    RAISE EXCEPTION 'the status of match % would go back', OLD.match_no USING ERRCODE = 'ES002';
  END IF;
  RETURN NEW;
END $$;
DROP TRIGGER match_guard ON match;
CREATE TRIGGER match_guard BEFORE UPDATE ON match FOR EACH ROW
  WHEN (OLD.settlement IS NOT NULL OR NEW.rank < OLD.rank OR NEW.generation <> OLD.generation)
  EXECUTE FUNCTION match_guard();

-- What a correction says stays, and it is decided once.
CREATE FUNCTION correction_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.state <> 'proposed'
     OR (NEW.correction_id, NEW.match_no, NEW.generation, NEW.verdict, NEW.reason, NEW.seen_event_id, NEW.approvals,
         NEW.proposed_by, NEW.proposed_at) IS DISTINCT FROM
        (OLD.correction_id, OLD.match_no, OLD.generation, OLD.verdict, OLD.reason, OLD.seen_event_id, OLD.approvals,
         OLD.proposed_by, OLD.proposed_at) THEN
    RAISE EXCEPTION 'correction % is %, and what it says stays', OLD.correction_id, OLD.state
      USING ERRCODE = 'ES007';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER correction_guard BEFORE UPDATE OR DELETE ON correction
  FOR EACH ROW EXECUTE FUNCTION correction_guard();

-- Whose an account is, and in which currency, stays; and one that is closed stays so.
CREATE FUNCTION account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'account % would become another one', OLD.id USING ERRCODE = 'ES008';
END $$;
CREATE TRIGGER account_guard BEFORE UPDATE ON account FOR EACH ROW
  WHEN ((NEW.source, NEW.kind, NEW.owner_key, NEW.currency)
        IS DISTINCT FROM (OLD.source, OLD.kind, OLD.owner_key, OLD.currency) OR (OLD.closed AND NOT NEW.closed))
  EXECUTE FUNCTION account_guard();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON operation FROM matchpurse_app;
    -- Nothing of the ledger ever goes; only a deadline does.
    REVOKE DELETE ON account, match, match_participant, correction FROM matchpurse_app;
    -- A service that starts asks whether it lacks a migration. The table is older than the first one's grants.
    GRANT SELECT ON refinery_schema_history TO matchpurse_app;
  END IF;
END $$;
