-- What providers are asked, because no webhook may have told it. docs/adr/0017-repair.md says why it is so.

-- One row is one question: about a match, a player's matches, or the list of offers. It is there while somebody has a reason
-- to ask, and goes when nobody has.
CREATE TABLE inquiry (
  source text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('offers', 'match', 'players_matches')),
  subject text NOT NULL,                       -- the provider's id of the match or player; empty: about none
  due_at timestamptz NOT NULL,                 -- while somebody asks: when another one may
  claims bigint NOT NULL DEFAULT 0,
  failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),   -- since the last answer
  empty_lists integer NOT NULL DEFAULT 0 CHECK (empty_lists >= 0), -- in a row: one alone is not believed
  etag text,                                   -- of the last list whose events are on durable storage
  asked_at timestamptz,
  answered_at timestamptz,
  outcome text,                                -- of the last time, in a word
  detail text,                                 -- and in words
  events bigint NOT NULL DEFAULT 0,            -- published of all answers, repeats too
  PRIMARY KEY (source, kind, subject)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX inquiry_due ON inquiry (source, due_at);
