-- Offers: what changed, in an order that a stream can be resumed by; and starts that an operator took back.

-- One row a change of an offer or of a player's standing. Readers take only what is below the oldest transaction that
-- still runs, in the order of (xid, id), so nothing ever appears behind a place that somebody has read to. `xid` is the
-- writer's transaction, or that of an earlier change of the same subject where that is greater: a transaction that began
-- first may come to a subject last, and the changes of one subject are told in the order in which they were made.
CREATE TABLE offer_change (
  xid xid8 NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  source text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('offer.created', 'offer.removed', 'offer.restored', 'offer.updated',
                                     'player.banned', 'player.unbanned')),
  subject text NOT NULL,             -- the provider's id of the offer or player
  state text NOT NULL CHECK (state IN ('active', 'removed', 'banned', 'good')),   -- after the change
  changed_at timestamptz NOT NULL,   -- by the provider's clock
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (xid, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX offer_change_source ON offer_change (source, xid, id);
-- By the subject first: one that began with the source would be taken for the order of the stream, which it has not.
CREATE INDEX offer_change_subject ON offer_change (subject, source, xid DESC);
CREATE INDEX offer_change_recorded ON offer_change (recorded_at);

-- The last place that was pruned: who has read no further than before it has missed something.
CREATE TABLE offer_change_horizon (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  xid xid8 NOT NULL,
  id bigint NOT NULL
);
INSERT INTO offer_change_horizon (xid, id) VALUES ('0', 0);

-- Whether a player may see an offer is asked thousands of times a second: the answer stands in these two, and no row need
-- be looked at.
CREATE INDEX offer_eligible ON offer (source, offer_id) INCLUDE (state) WHERE data IS NOT NULL;
CREATE INDEX offer_start_of_player ON offer_start (player_key, source, offer_id);
DROP INDEX offer_start_player;

-- A start that never was, as an operator says.
CREATE TABLE offer_start_withdrawal (
  withdrawal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source text NOT NULL,
  offer_id text NOT NULL,
  player_key uuid NOT NULL,
  started_at timestamptz NOT NULL,
  actor text NOT NULL CHECK (actor <> ''),
  reason text NOT NULL CHECK (reason <> ''),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX offer_start_withdrawal_of ON offer_start_withdrawal (source, offer_id, player_key);

CREATE FUNCTION offer_record_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % stay as they are', TG_TABLE_NAME USING ERRCODE = 'ES018';
END $$;
-- What was told stays; it is forgotten as a whole after its time.
CREATE TRIGGER offer_change_guard BEFORE UPDATE ON offer_change
  FOR EACH ROW EXECUTE FUNCTION offer_record_guard();
CREATE TRIGGER offer_start_guard BEFORE UPDATE ON offer_start
  FOR EACH ROW EXECUTE FUNCTION offer_record_guard();
CREATE TRIGGER offer_start_withdrawal_guard BEFORE UPDATE OR DELETE ON offer_start_withdrawal
  FOR EACH ROW EXECUTE FUNCTION offer_record_guard();
CREATE TRIGGER offer_start_withdrawal_guard_truncate BEFORE TRUNCATE ON offer_start_withdrawal
  FOR EACH STATEMENT EXECUTE FUNCTION offer_record_guard();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE ON offer_change, offer_start FROM matchpurse_app;
    REVOKE UPDATE, DELETE ON offer_start_withdrawal FROM matchpurse_app;
    REVOKE INSERT, DELETE ON offer_change_horizon FROM matchpurse_app;
    REVOKE DELETE ON offer, player_standing FROM matchpurse_app;
  END IF;
END $$;
