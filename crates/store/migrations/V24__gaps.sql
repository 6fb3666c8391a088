-- What did not come: when each source was heard, and matches on game servers that have not ended. docs/adr/0016-gaps.md
-- says why it is so.

-- The deliveries of a source, by the hour (UTC) in which they reached us. Written with the archive, under the lock of
-- the source's chain, so each delivery counts once and no two transactions wait for each other here.
CREATE TABLE source_hour (
  source text NOT NULL,
  hour timestamptz NOT NULL CHECK (extract(epoch FROM hour)::bigint % 3600 = 0),
  deliveries bigint NOT NULL CHECK (deliveries > 0),
  last_at timestamptz NOT NULL,            -- of the latest of them
  PRIMARY KEY (source, hour),
  CHECK (last_at >= hour AND last_at < hour + interval '1 hour')
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- What came has come: a count only climbs, and no hour is forgotten.
CREATE FUNCTION source_hour_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what was counted of source % stays counted', OLD.source USING ERRCODE = 'ES026';
END $$;
CREATE TRIGGER source_hour_guard BEFORE UPDATE ON source_hour FOR EACH ROW
  WHEN (NEW.deliveries <= OLD.deliveries OR NEW.last_at < OLD.last_at
        OR (NEW.source, NEW.hour) IS DISTINCT FROM (OLD.source, OLD.hour))
  EXECUTE FUNCTION source_hour_guard();
CREATE TRIGGER source_hour_guard_delete BEFORE DELETE ON source_hour FOR EACH ROW EXECUTE FUNCTION source_hour_guard();

-- Those that have not ended are few, however many there were. `ended_at` is written once, so the rounds before it
-- remain HOT updates.
CREATE INDEX stats_match_open ON stats_match (created_at) WHERE ended_at IS NULL;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE DELETE ON source_hour FROM matchpurse_app;
  END IF;
END $$;
