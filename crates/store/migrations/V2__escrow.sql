-- Matches, the stakes that they hold, and the ledger.

CREATE TABLE match_status (
  code text PRIMARY KEY,
  rank smallint NOT NULL,
  terminal boolean NOT NULL,
  disposition text NOT NULL CHECK (disposition IN ('none', 'hold', 'payout', 'tie', 'refund'))
);
INSERT INTO match_status VALUES
  ('OPEN', 10, false, 'none'), ('CONFIRMED', 20, false, 'hold'), ('LOCKED', 30, false, 'hold'),
  ('PENDING_OUTCOMES', 40, false, 'hold'), ('DISPUTE', 50, false, 'hold'),
  ('CLOSED', 100, true, 'payout'), ('CLOSED_TIE', 100, true, 'tie'),
  ('CANCELED_BY_OWNER', 100, true, 'refund'), ('CANCELED_NOT_ACCEPTED', 100, true, 'refund'),
  ('CANCELED_THROUGH_API', 100, true, 'refund'), ('CANCELED_TIMEOUT', 100, true, 'refund'),
  ('CANCELED_OTHER', 100, true, 'refund'), ('VOIDED_TIMEOUT', 100, true, 'refund');

-- Accounts: every transfer joins two of one currency, so all balances of a currency add up to zero.
CREATE TABLE account (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text NOT NULL,
  -- 1 player, 2 escrow of a match, 3 house fee, 4 the provider's side, 5 reward fund
  kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 5),
  owner_key uuid NOT NULL,
  currency text NOT NULL,
  min_balance bigint,              -- null: unbounded, for accounts that only record what a provider did
  balance bigint NOT NULL DEFAULT 0,
  version bigint NOT NULL DEFAULT 0,
  closed boolean NOT NULL DEFAULT false,
  opened_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (owner_key, kind, currency),
  CONSTRAINT balance_floor CHECK (min_balance IS NULL OR balance >= min_balance),
  CONSTRAINT escrow_never_negative CHECK (kind <> 2 OR balance >= 0),
  CONSTRAINT closed_is_zero CHECK (NOT closed OR balance = 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE match (
  match_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  match_key uuid NOT NULL UNIQUE,  -- a UUIDv5 of source, kind and the provider's id; owns the escrow account
  source text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('recreational', 'free_to_play', 'tournament', 'platform')),
  match_id text NOT NULL,
  status text NOT NULL REFERENCES match_status,
  rank smallint NOT NULL,
  provider_status text NOT NULL DEFAULT '',
  format text CHECK (format IN ('group_vs_group', 'free_for_all')),
  game_id text,
  created_by text,
  custody text NOT NULL CHECK (custody IN ('provider', 'studio')),
  currency text NOT NULL,
  fee_bps integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 10000),
  tie_policy text NOT NULL CHECK (tie_policy IN ('refund_full', 'refund_minus_fee', 'split')),
  buy_in bigint CHECK (buy_in BETWEEN 0 AND 1000000000000),
  pot bigint NOT NULL DEFAULT 0,
  paid bigint NOT NULL DEFAULT 0,
  refunded bigint NOT NULL DEFAULT 0,
  fee bigint NOT NULL DEFAULT 0,
  settlement text CHECK (settlement IN ('payout', 'tie', 'refund')),
  settled_at timestamptz,
  outcome_digest bytea CHECK (octet_length(outcome_digest) = 32),
  first_event_id uuid NOT NULL,
  last_event_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (source, kind, match_id),
  CONSTRAINT amounts_not_negative CHECK (pot >= 0 AND paid >= 0 AND refunded >= 0 AND fee >= 0),
  CONSTRAINT never_overpaid CHECK (paid + refunded + fee <= pot),
  CONSTRAINT settled_is_exact CHECK (settlement IS NULL OR paid + refunded + fee = pot),
  CONSTRAINT settled_iff_terminal CHECK ((settlement IS NOT NULL) = (rank = 100)),
  CONSTRAINT settled_at_set CHECK ((settlement IS NULL) = (settled_at IS NULL)),
  CONSTRAINT refund_means_all CHECK (settlement <> 'refund' OR (refunded = pot AND paid = 0 AND fee = 0))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- A settlement is written once, and a status only climbs.
CREATE FUNCTION match_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.settlement IS NOT NULL AND (NEW.settlement, NEW.paid, NEW.refunded, NEW.fee, NEW.pot)
       IS DISTINCT FROM (OLD.settlement, OLD.paid, OLD.refunded, OLD.fee, OLD.pot) THEN
    RAISE EXCEPTION 'match % is settled as % already', OLD.match_no, OLD.settlement USING ERRCODE = 'ES001';
  END IF;
  IF NEW.rank < OLD.rank THEN
    RAISE EXCEPTION 'the status of match % would go back', OLD.match_no USING ERRCODE = 'ES002';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER match_guard BEFORE UPDATE ON match FOR EACH ROW
  WHEN (OLD.settlement IS NOT NULL OR NEW.rank < OLD.rank) EXECUTE FUNCTION match_guard();

CREATE TABLE match_participant (
  match_no bigint NOT NULL,
  player_key uuid NOT NULL,
  group_id text NOT NULL DEFAULT '',
  state smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 3), -- 0 joined, 1 held, 2 settled, 3 refunded
  hold bigint NOT NULL DEFAULT 0 CHECK (hold >= 0),
  generation smallint NOT NULL DEFAULT 0,
  payout bigint NOT NULL DEFAULT 0 CHECK (payout >= 0),
  refund bigint NOT NULL DEFAULT 0,
  outcome text CHECK (outcome IN ('WIN', 'LOSS', 'TIE')),
  PRIMARY KEY (match_no, player_key),
  CHECK (refund BETWEEN 0 AND hold),
  CHECK (payout = 0 OR refund = 0),
  CHECK (state = 2 OR payout = 0),
  CHECK (state = 3 OR refund = 0)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX match_participant_player ON match_participant (player_key, match_no);

-- One row is both legs. The key is what the movement means, and is kept for ever: nothing moves twice.
CREATE TABLE transfer (
  match_no bigint NOT NULL DEFAULT 0,   -- 0: not bound to a match
  subject uuid NOT NULL,                -- the player, the house or the provider's side
  -- 1 hold, 2 payout, 3 refund, 4 fee, 5 reward, 6 top-up or withdrawal, 7 reversal
  kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 7),
  generation smallint NOT NULL DEFAULT 0,
  debit_id bigint NOT NULL,
  credit_id bigint NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0),
  event_id uuid,
  event_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (match_no, subject, kind, generation),
  CHECK (debit_id <> credit_id)
);
-- A stake is won or goes back, never both.
CREATE UNIQUE INDEX one_settlement_per_player ON transfer (match_no, subject, generation) WHERE kind IN (2, 3);
CREATE INDEX transfer_debit ON transfer (debit_id, recorded_at);
CREATE INDEX transfer_credit ON transfer (credit_id, recorded_at);

-- What is in the ledger stays: a correction is another transfer.
CREATE FUNCTION ledger_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'transfers are only ever added' USING ERRCODE = 'ES003';
END $$;
CREATE TRIGGER transfer_guard BEFORE UPDATE OR DELETE ON transfer FOR EACH ROW EXECUTE FUNCTION ledger_guard();
CREATE TRIGGER transfer_guard_truncate BEFORE TRUNCATE ON transfer
  FOR EACH STATEMENT EXECUTE FUNCTION ledger_guard();

-- The two legs, for those who think in entries. A credit is positive.
CREATE VIEW entry AS
  SELECT debit_id AS account_id, -amount AS amount, match_no, subject, kind, generation, event_id, event_at,
         recorded_at
    FROM transfer
  UNION ALL
  SELECT credit_id, amount, match_no, subject, kind, generation, event_id, event_at, recorded_at FROM transfer;

-- Until when a match may hold money. A row, not a column: an indexed column that changes with a match would
-- end its HOT updates.
CREATE TABLE match_deadline (
  match_no bigint PRIMARY KEY,
  due_at timestamptz NOT NULL
);
CREATE INDEX match_deadline_due ON match_deadline (due_at);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON transfer FROM matchpurse_app;
    REVOKE INSERT, UPDATE, DELETE ON match_status FROM matchpurse_app;
  END IF;
END $$;
