-- Leaderboards and skill ratings. All of it follows from the matches, so it can be made anew at any time.

-- When a match ended, by the event that ended it; a correction keeps it.
ALTER TABLE match ADD COLUMN ended_at timestamptz;

-- What boards and ratings have not got yet. A row goes when it was consumed; the identity only orders them.
CREATE TABLE result_feed (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('stats', 'match', 'player')),   -- 'player': may be listed, or not any more
  key uuid NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- How far the matches that are older than the feed have been put into it, by key; gone when all are.
CREATE TABLE result_fill (
  kind text PRIMARY KEY CHECK (kind IN ('stats', 'match')),
  filled_to uuid NOT NULL
);
INSERT INTO result_fill VALUES ('stats', '00000000-0000-0000-0000-000000000000'),
                               ('match', '00000000-0000-0000-0000-000000000000');

-- The matches that count, as boards and ratings have got them: when one changes, whoever had a part in it before is
-- known from here.
CREATE TABLE result (
  result_key uuid PRIMARY KEY,     -- of the match; keys of both kinds never meet
  kind text NOT NULL CHECK (kind IN ('stats', 'match')),
  source text NOT NULL,
  ended_at timestamptz NOT NULL,
  players uuid[] NOT NULL,         -- by key
  -- of each player the side and its place, where the match says who is better
  sides smallint[] NOT NULL CHECK (cardinality(sides) IN (0, cardinality(players))),
  places smallint[] NOT NULL CHECK (cardinality(places) = cardinality(sides))
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);
-- The order in which matches are rated.
CREATE INDEX result_order ON result (source, ended_at, result_key) WHERE cardinality(sides) > 0;

-- How far a game's matches are rated. Ratings are always those after the last match that is.
CREATE TABLE rating_game (
  game text PRIMARY KEY,
  method text NOT NULL,            -- the version of the algorithm
  sources text[] NOT NULL,
  rated_at timestamptz NOT NULL DEFAULT '-infinity',
  rated_key uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  -- from which match on ratings must be made anew: one came late, or changed
  redo_at timestamptz,
  redo_key uuid,
  recomputing_since timestamptz,   -- until all matches are rated again
  CHECK ((redo_at IS NULL) = (redo_key IS NULL))
) WITH (fillfactor = 50);

-- Millionths, whole: no float is stored.
CREATE TABLE rating (
  game text NOT NULL,
  player_key uuid NOT NULL,
  mean bigint NOT NULL,
  uncertainty bigint NOT NULL CHECK (uncertainty > 0),
  matches bigint NOT NULL CHECK (matches > 0),
  PRIMARY KEY (game, player_key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX rating_player ON rating (player_key);

-- What each match did to each rating. The last ones are taken back when an earlier match comes or changes.
CREATE TABLE rating_step (
  game text NOT NULL,
  ended_at timestamptz NOT NULL,
  result_key uuid NOT NULL,
  player_key uuid NOT NULL,
  nth bigint NOT NULL CHECK (nth > 0),          -- the player's first match in the game is 1
  mean_before bigint NOT NULL,
  uncertainty_before bigint NOT NULL,
  mean bigint NOT NULL,
  uncertainty bigint NOT NULL,
  PRIMARY KEY (game, ended_at, result_key, player_key)
);
CREATE INDEX rating_step_player ON rating_step (player_key, game, ended_at, result_key);

-- A board as it was defined at some time. Another definition is another row, so that the old one can be read while the
-- new one is made.
CREATE TABLE board (
  board_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  state text NOT NULL CHECK (state IN ('building', 'current', 'replaced')),
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),   -- of the definition, and of how scores are made
  metric text NOT NULL,
  direction text NOT NULL CHECK (direction IN ('desc', 'asc')),
  season text NOT NULL CHECK (season IN ('all', 'year', 'quarter', 'month', 'week')),
  game text,
  sources text[],                  -- none: all
  currency text,
  min_matches integer NOT NULL CHECK (min_matches >= 0),
  exclude_banned boolean NOT NULL,
  built_to uuid,                   -- while it is built: all results up to this one are in its list of what to do
  created_at timestamptz NOT NULL DEFAULT now(),
  built_at timestamptz,
  removed_at timestamptz,          -- when it left the configuration
  CHECK ((state = 'building') = (built_at IS NULL)),
  CHECK ((state = 'building') = (built_to IS NOT NULL))
);
CREATE UNIQUE INDEX one_current_board ON board (name) WHERE state = 'current';
CREATE UNIQUE INDEX one_building_board ON board (name) WHERE state = 'building';

CREATE FUNCTION board_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the definition of board % would change', OLD.name USING ERRCODE = 'ES016';
END $$;
CREATE TRIGGER board_guard BEFORE UPDATE ON board FOR EACH ROW
  WHEN ((NEW.name, NEW.digest, NEW.metric, NEW.direction, NEW.season, NEW.game, NEW.sources, NEW.currency,
         NEW.min_matches, NEW.exclude_banned)
        IS DISTINCT FROM (OLD.name, OLD.digest, OLD.metric, OLD.direction, OLD.season, OLD.game, OLD.sources,
         OLD.currency, OLD.min_matches, OLD.exclude_banned))
  EXECUTE FUNCTION board_guard();

-- One player in one season of a board.
CREATE TABLE board_entry (
  board_id integer NOT NULL,
  season text NOT NULL,
  player_key uuid NOT NULL,
  score bigint NOT NULL,           -- in the places of the metric, or minor units
  place bigint NOT NULL,           -- the score so that the smaller is the better
  reached_at timestamptz NOT NULL, -- when the last match ended that changed the score
  matches bigint NOT NULL,
  unlisted text CHECK (unlisted IN ('excluded', 'banned', 'too_few_matches')),
  PRIMARY KEY (board_id, season, player_key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- The order of a board, which is total.
CREATE INDEX board_entry_place ON board_entry (board_id, season, place, reached_at, player_key)
  WHERE unlisted IS NULL;
CREATE INDEX board_entry_player ON board_entry (player_key);

-- Entries that must be made anew, because a match of theirs came or changed.
CREATE TABLE board_todo (
  board_id integer NOT NULL,
  season text NOT NULL,
  player_key uuid NOT NULL,
  PRIMARY KEY (board_id, season, player_key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);

-- The seasons that a board has had.
CREATE TABLE board_season (
  board_id integer NOT NULL,
  season text NOT NULL,
  changed_at timestamptz NOT NULL,
  counted_at timestamptz,          -- when players and ranks were last counted
  players bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (board_id, season)
) WITH (fillfactor = 50);

-- Of large seasons the rank of every so many-th place, as of `counted_at`. Whoever is between two marks has a rank
-- between them, found by counting from the nearest one.
CREATE TABLE board_rank (
  board_id integer NOT NULL,
  season text NOT NULL,
  place bigint NOT NULL,
  reached_at timestamptz NOT NULL,
  player_key uuid NOT NULL,
  rank bigint NOT NULL CHECK (rank > 0),
  PRIMARY KEY (board_id, season, place, reached_at, player_key)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

-- Whom operators have taken off a board; by the board's name, so that it survives a new definition.
CREATE TABLE board_exclusion (
  board text NOT NULL,
  player_key uuid NOT NULL,
  excluded_at timestamptz NOT NULL,
  PRIMARY KEY (board, player_key)
);
CREATE INDEX board_exclusion_player ON board_exclusion (player_key);

CREATE TABLE board_operation (
  operation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('excluded', 'readmitted')),
  board text NOT NULL,
  player_key uuid NOT NULL,
  actor text NOT NULL CHECK (actor <> ''),
  reason text NOT NULL CHECK (reason <> ''),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX board_operation_player ON board_operation (board, player_key, operation_id);
CREATE TRIGGER board_operation_guard BEFORE UPDATE OR DELETE ON board_operation
  FOR EACH ROW EXECUTE FUNCTION operation_guard();
CREATE TRIGGER board_operation_guard_truncate BEFORE TRUNCATE ON board_operation
  FOR EACH STATEMENT EXECUTE FUNCTION operation_guard();

-- Who is banned, or linked to somebody who is, may be listed no more, and the other way round.
CREATE FUNCTION tell_standing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO result_feed (kind, key) VALUES ('player', NEW.player_key);
  PERFORM pg_notify('matchpurse_results', '');
  RETURN NULL;
END $$;
CREATE TRIGGER tell_standing_made AFTER INSERT ON player_standing FOR EACH ROW
  WHEN (NEW.standing = 'banned') EXECUTE FUNCTION tell_standing();
CREATE TRIGGER tell_standing_changed AFTER UPDATE ON player_standing FOR EACH ROW
  WHEN (OLD.standing IS DISTINCT FROM NEW.standing) EXECUTE FUNCTION tell_standing();

CREATE FUNCTION tell_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  link player_link;
BEGIN
  IF TG_OP = 'DELETE' THEN link := OLD; ELSE link := NEW; END IF;
  INSERT INTO result_feed (kind, key)
    SELECT 'player', player_key FROM player_link WHERE person = link.person
    UNION SELECT 'player', link.player_key;
  PERFORM pg_notify('matchpurse_results', '');
  RETURN NULL;
END $$;
CREATE TRIGGER tell_link AFTER INSERT OR DELETE ON player_link FOR EACH ROW EXECUTE FUNCTION tell_link();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON board_operation FROM matchpurse_app;
    REVOKE INSERT ON result_fill FROM matchpurse_app;
  END IF;
END $$;
