-- What people do about parked deliveries and anomalies, and replays of what is archived.

ALTER TABLE parked
  -- What the body says, where it can be read: for who looks for it.
  ADD COLUMN source text,
  ADD COLUMN event_type text,          -- the provider's own word
  ADD COLUMN subject text,
  ADD COLUMN resolution_reason text,
  ADD COLUMN became uuid[];            -- the events that a replay has made of what nobody could read
-- A routing key is payload, provider and source; the parts of a stranger's one may be anything.
UPDATE parked SET source = nullif(split_part(routing_key, '.', 3), '');

-- Every parked delivery is resolved once, by somebody, and what was parked stays as it was.
CREATE FUNCTION parked_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.resolved_at IS NOT NULL
     OR (NEW.id, NEW.event_id, NEW.queue, NEW.kind, NEW.reason, NEW.body, NEW.routing_key, NEW.traceparent,
         NEW.parked_at, NEW.source, NEW.event_type, NEW.subject) IS DISTINCT FROM
        (OLD.id, OLD.event_id, OLD.queue, OLD.kind, OLD.reason, OLD.body, OLD.routing_key, OLD.traceparent,
         OLD.parked_at, OLD.source, OLD.event_type, OLD.subject) THEN
    RAISE EXCEPTION 'parked delivery % stays what it is', OLD.id USING ERRCODE = 'ES024';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER parked_guard BEFORE UPDATE OR DELETE ON parked FOR EACH ROW EXECUTE FUNCTION parked_guard();
ALTER TABLE parked
  ADD CONSTRAINT resolved_by_somebody CHECK (resolved_at IS NULL OR resolved_by <> '') NOT VALID;

-- Events of the archive that somebody has had applied once more; what is applied already is not applied again.
CREATE TABLE replay (
  replay_id uuid PRIMARY KEY,          -- stands in the messages: the attempt is a new one, its effects are not
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  actor text NOT NULL CHECK (actor <> ''),
  reason text NOT NULL CHECK (reason <> ''),
  scope jsonb NOT NULL,                -- which events, to which workers
  events bigint NOT NULL DEFAULT 0 CHECK (events >= 0),
  started_at timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz              -- null while it runs, and for ever when it was broken off
);

CREATE INDEX anomaly_source ON anomaly (source, id);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE DELETE ON parked, replay, anomaly FROM matchpurse_app;
  END IF;
END $$;
