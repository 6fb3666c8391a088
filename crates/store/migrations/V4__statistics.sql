-- Statistics of matches on game servers.

-- A match as its furthest snapshot has it.
CREATE TABLE stats_match (
  stats_key uuid PRIMARY KEY,      -- a UUIDv5 of source and the provider's id
  source text NOT NULL,
  match_id text NOT NULL,
  map text,
  team1_name text NOT NULL DEFAULT '',
  team1_score integer,
  team2_name text NOT NULL DEFAULT '',
  team2_score integer,
  rounds_played integer NOT NULL DEFAULT 0,
  history_len integer NOT NULL DEFAULT 0,
  finished boolean NOT NULL DEFAULT false,
  canceled boolean NOT NULL DEFAULT false,
  cancel_reason text,
  result text CHECK (result IN ('team1', 'team2', 'draw')),   -- by the scores, of a final only
  counted boolean NOT NULL DEFAULT false,                     -- the totals have got it
  numbers bytea CHECK (octet_length(numbers) = 32),           -- digest of scores and counters; null: no snapshot yet
  roster bytea CHECK (octet_length(roster) = 32),             -- digest of the players' ids
  first_event_id uuid NOT NULL,
  last_event_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (source, match_id),
  CONSTRAINT counted_is_final CHECK (counted = (finished AND NOT canceled)),
  CONSTRAINT result_is_final CHECK (result IS NULL OR counted)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX stats_match_created ON stats_match (created_at, stats_key);

-- The totals get a match once, so what was counted stays counted.
CREATE FUNCTION stats_match_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'match % was counted already', OLD.stats_key USING ERRCODE = 'ES006';
END $$;
CREATE TRIGGER stats_match_guard BEFORE UPDATE ON stats_match FOR EACH ROW
  WHEN (OLD.counted AND (NOT NEW.counted OR NEW.numbers IS DISTINCT FROM OLD.numbers))
  EXECUTE FUNCTION stats_match_guard();

-- No rule relates one counter to another: a team kill lowers kills.
CREATE TABLE player_match_stats (
  stats_key uuid NOT NULL,
  player_key uuid NOT NULL,
  side text NOT NULL CHECK (side IN ('team1', 'team2', 'spectator')),
  nickname text NOT NULL,
  kicked boolean NOT NULL,
  kills integer NOT NULL,
  assists integer NOT NULL,
  deaths integer NOT NULL,
  mvps integer NOT NULL,
  score integer NOT NULL,
  double_kills integer NOT NULL,
  triple_kills integer NOT NULL,
  quadra_kills integer NOT NULL,
  penta_kills integer NOT NULL,
  headshot_kills integer NOT NULL,
  pistol_kills integer NOT NULL,
  sniper_kills integer NOT NULL,
  damage_dealt integer NOT NULL,
  entry_attempts integer NOT NULL,
  entry_successes integer NOT NULL,
  flashes_thrown integer NOT NULL,
  flashes_successful integer NOT NULL,
  enemies_flashed integer NOT NULL,
  utility_thrown integer NOT NULL,
  utility_damage integer NOT NULL,
  clutch_attempts integer NOT NULL,
  clutch_wins integer NOT NULL,
  PRIMARY KEY (stats_key, player_key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX player_match_stats_player ON player_match_stats (player_key);

-- What happened in a match; a line's key is its place, because times tie.
CREATE TABLE stats_match_event (
  stats_key uuid NOT NULL,
  index integer NOT NULL,
  name text NOT NULL,
  at timestamptz NOT NULL,
  player_key uuid,
  PRIMARY KEY (stats_key, index)
);

-- Sums over the counted matches. Ratios are made when they are read.
CREATE TABLE player_totals (
  player_key uuid NOT NULL,
  season integer NOT NULL,         -- 0: of all time
  source text NOT NULL,
  matches bigint NOT NULL,
  wins bigint NOT NULL,
  losses bigint NOT NULL,
  draws bigint NOT NULL,
  rounds bigint NOT NULL,
  kills bigint NOT NULL,
  assists bigint NOT NULL,
  deaths bigint NOT NULL,
  mvps bigint NOT NULL,
  score bigint NOT NULL,
  double_kills bigint NOT NULL,
  triple_kills bigint NOT NULL,
  quadra_kills bigint NOT NULL,
  penta_kills bigint NOT NULL,
  headshot_kills bigint NOT NULL,
  pistol_kills bigint NOT NULL,
  sniper_kills bigint NOT NULL,
  damage_dealt bigint NOT NULL,
  entry_attempts bigint NOT NULL,
  entry_successes bigint NOT NULL,
  flashes_thrown bigint NOT NULL,
  flashes_successful bigint NOT NULL,
  enemies_flashed bigint NOT NULL,
  utility_thrown bigint NOT NULL,
  utility_damage bigint NOT NULL,
  clutch_attempts bigint NOT NULL,
  clutch_wins bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (player_key, season)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- Players who were voted out of a match.
CREATE TABLE player_kick (
  stats_key uuid NOT NULL,
  player_key uuid NOT NULL,
  source text NOT NULL,
  match_id text NOT NULL,
  event_id uuid NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (stats_key, player_key)
);
CREATE INDEX player_kick_player ON player_kick (player_key, at);
