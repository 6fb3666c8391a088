-- Players: when their matches ended and how, what an operator corrects, and which ids are one person's.

ALTER TABLE stats_match
  -- By the provider's own history where it has one, else when its news was received; null: it has not ended.
  ADD COLUMN ended_at timestamptz,
  -- How often an operator set the numbers anew, and the last operation that did.
  ADD COLUMN corrections integer NOT NULL DEFAULT 0 CHECK (corrections >= 0),
  ADD COLUMN corrected_by uuid,
  -- Digests of the ends that were overruled, 32 bytes each, one behind the other: told again they are no news.
  ADD COLUMN overruled bytea NOT NULL DEFAULT '' CHECK (octet_length(overruled) % 32 = 0),
  ADD CONSTRAINT corrected_by_someone CHECK ((corrections = 0) = (corrected_by IS NULL));

-- Of a counted match's players, null of everybody else's lines; so that who has ten thousand of them is read from the
-- index alone. Both are written once, at the final, so the rounds before it remain HOT updates.
ALTER TABLE player_match_stats
  ADD COLUMN ended_at timestamptz,
  ADD COLUMN outcome text CHECK (outcome IN ('win', 'loss', 'draw'));

-- There are few by now: this is the first version that reads them.
UPDATE stats_match m
   SET ended_at = coalesce((SELECT max(e.at) FROM stats_match_event e WHERE e.stats_key = m.stats_key), m.updated_at)
 WHERE finished OR canceled;
UPDATE player_match_stats s
   SET ended_at = m.ended_at,
       outcome = CASE WHEN m.result IS NULL OR m.result = 'draw' THEN m.result WHEN m.result = s.side THEN 'win' ELSE 'loss' END
  FROM stats_match m
 WHERE m.stats_key = s.stats_key AND m.counted AND s.side <> 'spectator';

CREATE INDEX player_match_stats_ended ON player_match_stats (player_key, ended_at, stats_key) INCLUDE (outcome)
  WHERE ended_at IS NOT NULL;

-- The same of who had a stake or a place in a match that was settled; null where it was called off, or has not ended.
-- A seat is written at the settlement anyway.
ALTER TABLE match_participant
  ADD COLUMN ended_at timestamptz,
  ADD COLUMN currency text,
  ADD CONSTRAINT ended_in_a_currency CHECK ((ended_at IS NULL) = (currency IS NULL));
UPDATE match_participant p SET ended_at = m.settled_at, currency = m.currency
  FROM match m WHERE m.match_no = p.match_no AND m.settlement IN ('payout', 'tie') AND p.outcome IS NOT NULL;
CREATE INDEX match_participant_ended ON match_participant (player_key, ended_at, match_no)
  INCLUDE (currency, outcome, hold, payout, refund) WHERE ended_at IS NOT NULL;

-- The totals get a match once, so what was counted stays counted, and what was called off stays called off. Only an
-- operator's correction, which is recorded, puts other numbers in their place.
CREATE OR REPLACE FUNCTION stats_match_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.corrections = OLD.corrections THEN
    RAISE EXCEPTION 'match % has ended already', OLD.stats_key USING ERRCODE = 'ES006';
  END IF;
  IF NEW.corrections <> OLD.corrections + 1 OR NEW.corrected_by IS NOT DISTINCT FROM OLD.corrected_by
     OR NOT EXISTS (SELECT FROM operation o
                     WHERE (o.operation_id, o.kind, o.source, o.subject)
                         = (NEW.corrected_by, 'stats_correction', OLD.source, OLD.match_id)) THEN
    RAISE EXCEPTION 'match % has no correction number %', OLD.stats_key, NEW.corrections USING ERRCODE = 'ES013';
  END IF;
  RETURN NEW;
END $$;
DROP TRIGGER stats_match_guard ON stats_match;
CREATE TRIGGER stats_match_guard BEFORE UPDATE ON stats_match FOR EACH ROW
  WHEN (OLD.counted AND (NOT NEW.counted OR NEW.numbers IS DISTINCT FROM OLD.numbers)
        OR OLD.canceled AND NOT NEW.canceled
        OR (NEW.corrections, NEW.corrected_by) IS DISTINCT FROM (OLD.corrections, OLD.corrected_by))
  EXECUTE FUNCTION stats_match_guard();

-- One person's ids at several providers. A person is a set of two or more; who is in none stands alone. Links only
-- serve reading: totals, ratings, boards and money stay with the id.
CREATE TABLE player_link (
  player_key uuid PRIMARY KEY,
  person uuid NOT NULL,
  linked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX player_link_person ON player_link (person, player_key);

CREATE FUNCTION player_link_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'player % is another person''s, and would be moved', OLD.player_key USING ERRCODE = 'ES014';
END $$;
CREATE TRIGGER player_link_guard BEFORE UPDATE ON player_link FOR EACH ROW EXECUTE FUNCTION player_link_guard();

-- What people do to numbers and to identities.
ALTER TABLE operation DROP CONSTRAINT operation_kind_check;
ALTER TABLE operation ADD CONSTRAINT operation_kind_check
  CHECK (kind IN ('deposit', 'withdrawal', 'correction', 'deadline',
                  'reward_release', 'reward_reversal', 'reward_retry',
                  'stats_correction', 'player_links'));

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE DELETE ON stats_match, stats_match_event, player_kick, player FROM matchpurse_app;
    REVOKE UPDATE ON player_link FROM matchpurse_app;
  END IF;
END $$;
