-- Offers of offerwalls, who has started them, and who is banned.

-- A removal is not the end: the last event by the provider's clock counts, for state and data apart.
CREATE TABLE offer (
  source text NOT NULL,
  offer_id text NOT NULL,          -- up to 19 digits: a text
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'removed')),
  state_at timestamptz,            -- null while only descriptions have come
  data text,                       -- a JSON object, byte for byte as it came; null: made, and nothing known yet
  data_at timestamptz,             -- null while only a removal has told of it
  app_id text,
  campaign_id text,
  first_event_id uuid NOT NULL,
  last_event_id uuid NOT NULL,
  first_seen_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, offer_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- Who has started an offer may finish it after its removal.
CREATE TABLE offer_start (
  source text NOT NULL,
  offer_id text NOT NULL,
  player_key uuid NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, offer_id, player_key)
);
CREATE INDEX offer_start_player ON offer_start (player_key);

-- Who is banned from a source's offerwall. Who is not in here is in good standing.
CREATE TABLE player_standing (
  player_key uuid PRIMARY KEY,
  source text NOT NULL,
  standing text CHECK (standing IN ('banned', 'good')),   -- null: made, and nothing known yet
  changed_at timestamptz,
  reason text,
  last_event_id uuid NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT standing_has_time CHECK ((standing IS NULL) = (changed_at IS NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
