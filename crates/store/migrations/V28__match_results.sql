-- Results of matches that the studio's back-end or a match on a game server decides, and how they are told to the match's
-- provider.
-- docs/adr/0018-match-results.md says why it is so.

ALTER TABLE operation DROP CONSTRAINT operation_kind_check;
ALTER TABLE operation ADD CONSTRAINT operation_kind_check
  CHECK (kind IN ('deposit', 'withdrawal', 'correction', 'deadline',
                  'reward_release', 'reward_reversal', 'reward_retry',
                  'stats_correction', 'player_links', 'match_result', 'match_link')) NOT VALID;
ALTER TABLE operation DROP CONSTRAINT operation_check2;
ALTER TABLE operation ADD CONSTRAINT operation_match_check
  CHECK ((kind IN ('correction', 'deadline', 'match_result', 'match_link')) = (match_no IS NOT NULL)) NOT VALID;

-- The first result that was accepted, for ever. What it says stands in its operation.
CREATE TABLE match_result (
  match_no bigint PRIMARY KEY,
  operation_id uuid NOT NULL UNIQUE
);

CREATE FUNCTION match_result_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the result of a match stays as it is' USING ERRCODE = 'ES028';
END $$;
CREATE TRIGGER match_result_guard BEFORE UPDATE OR DELETE ON match_result
  FOR EACH ROW EXECUTE FUNCTION match_result_guard();
CREATE TRIGGER match_result_guard_truncate BEFORE TRUNCATE ON match_result
  FOR EACH STATEMENT EXECUTE FUNCTION match_result_guard();

-- A result on its way to the match's provider: as a `redemption_call`, under the same limits.
CREATE TABLE result_report (
  operation_id uuid PRIMARY KEY,
  match_no bigint NOT NULL UNIQUE,
  source text NOT NULL,
  -- 'withdrawn': somebody in it was erased before the provider knew
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'told', 'refused', 'given_up', 'withdrawn')),
  attempts integer NOT NULL DEFAULT 0,
  next_attempt_at timestamptz NOT NULL,
  claims integer NOT NULL DEFAULT 0,        -- how often it was taken: tells one lease from the next
  claimed_at timestamptz,                   -- while it is somebody's
  last_at timestamptz,
  last_outcome text CHECK (last_outcome IN ('delivered', 'refused', 'key_refused', 'throttled', 'not_sent', 'unknown',
                                            'abandoned')),
  last_status integer,
  last_detail text NOT NULL DEFAULT '' CHECK (length(last_detail) <= 1000),
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now(),
  CHECK (claimed_at IS NULL OR state = 'waiting')
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
-- What a claim reads: of one source, from what is due first.
CREATE INDEX result_report_due ON result_report (source, next_attempt_at) WHERE state = 'waiting';

-- Only an erasure changes an operation. Who is erased is told of to nobody any more, and what an answer said goes.
CREATE FUNCTION result_report_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE result_report r
     SET last_detail = '', claimed_at = NULL, changed_at = now(),
         state = CASE WHEN r.state = 'told' THEN r.state ELSE 'withdrawn' END
   WHERE r.operation_id = NEW.operation_id;
  RETURN NULL;
END $$;
CREATE TRIGGER result_report_erased AFTER UPDATE ON operation FOR EACH ROW
  WHEN (NEW.kind = 'match_result' AND NEW.detail IS DISTINCT FROM OLD.detail)
  EXECUTE FUNCTION result_report_erased();

-- A match that another source's match decides: one on a game server, whose first team stands for one side and whose second
-- for the other. What has decided stays.
CREATE TABLE match_link (
  match_key uuid PRIMARY KEY,               -- of the match that is decided
  operation_id uuid NOT NULL UNIQUE,        -- that set it
  source text NOT NULL,                     -- of the match that decides
  match_id text NOT NULL,
  stats_key uuid NOT NULL,                  -- the same two as a key
  team1 text NOT NULL,
  team2 text NOT NULL,
  report boolean NOT NULL,                  -- whether the provider of the match that is decided takes results
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'decided', 'failed')),
  failure text,
  at timestamptz NOT NULL,
  CHECK (team1 <> team2),
  CHECK ((state = 'failed') = (failure IS NOT NULL))
);
CREATE INDEX match_link_waiting ON match_link (source, at) WHERE state = 'waiting';

CREATE FUNCTION match_link_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what a link has decided stays' USING ERRCODE = 'ES028';
END $$;
CREATE TRIGGER match_link_guard BEFORE UPDATE ON match_link FOR EACH ROW
  WHEN (OLD.state = 'decided') EXECUTE FUNCTION match_link_guard();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON match_result FROM matchpurse_app;
    REVOKE DELETE ON result_report, match_link FROM matchpurse_app;
  END IF;
END $$;
