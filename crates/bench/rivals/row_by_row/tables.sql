-- What the worker that goes row by row keeps: the least that does the same.
CREATE TABLE rival_inbox (event_id uuid PRIMARY KEY);
CREATE TABLE rival_match (match_id text PRIMARY KEY, held boolean NOT NULL DEFAULT false, ended boolean NOT NULL DEFAULT false);
CREATE TABLE rival_transfer (
  match_id text NOT NULL,
  player_id text NOT NULL,
  kind text NOT NULL,
  amount bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (match_id, player_id, kind)
);
CREATE TABLE rival_account (owner text PRIMARY KEY, balance bigint NOT NULL DEFAULT 0);
CREATE TABLE rival_stats_match (
  match_id text PRIMARY KEY,
  rounds integer NOT NULL DEFAULT 0,
  finished boolean NOT NULL DEFAULT false
);
CREATE TABLE rival_stats (
  match_id text NOT NULL,
  player_id text NOT NULL,
  kills integer NOT NULL,
  counters integer[] NOT NULL,
  PRIMARY KEY (match_id, player_id)
);
CREATE TABLE rival_totals (player_id text PRIMARY KEY, matches integer NOT NULL, kills bigint NOT NULL, counters bigint[] NOT NULL);
