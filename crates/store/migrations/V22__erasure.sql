-- Erasure of one player's personal data, while everything that was counted still adds up. docs/adr/0015-erasure.md says why.

-- A player who was erased. It says who asked, why, when and what was done; of the player only the pseudonym, which is drawn
-- at random and which nothing that was known of the player leads to.
CREATE TABLE erasure (
  erasure_id uuid PRIMARY KEY,
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  source text NOT NULL,
  pseudonym text NOT NULL,
  pseudonym_key uuid NOT NULL,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'finished')),
  actor text NOT NULL CHECK (actor <> ''),
  reason text NOT NULL CHECK (reason <> ''),
  changed jsonb NOT NULL DEFAULT '{}',     -- rows that named the player, by table
  bodies bigint NOT NULL DEFAULT 0,        -- of these, archived deliveries whose body is gone
  days_left date[] NOT NULL DEFAULT '{}',  -- days of the source's archive that had left it: files, out of reach
  came_back boolean NOT NULL DEFAULT false,-- the id was told of again before the end: as a new person
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
  UNIQUE (source, pseudonym)
);
CREATE INDEX erasure_running ON erasure (position) WHERE state = 'running';

-- Whom an erasure is about, while it runs; nobody but the functions of the next migration reads it, and it goes when they
-- are done.
CREATE TABLE erasure_work (
  erasure_id uuid PRIMARY KEY REFERENCES erasure,
  source text NOT NULL,
  player_id text NOT NULL,
  player_key uuid NOT NULL,
  stage integer NOT NULL DEFAULT 1,
  done_to text,                            -- the key of the stage's last row that was looked at
  archive_end bigint NOT NULL,
  UNIQUE (source, player_id)
);

-- A row of the archive whose body is gone. Its hash stays, and proves with its neighbours that nothing else was taken.
CREATE TABLE archive_tombstone (
  source text NOT NULL,
  seq bigint NOT NULL,
  event_id uuid NOT NULL,
  erasure_id uuid NOT NULL REFERENCES erasure,
  body_bytes integer NOT NULL CHECK (body_bytes >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),    -- the row's, as the chain has it
  sealed bytea NOT NULL CHECK (octet_length(sealed) = 32),-- over that and what is left of the row
  erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (source, seq)
);

-- Events that told of somebody who was erased. Delivered or replayed once more they are not applied again.
CREATE TABLE erased_event (
  event_id uuid PRIMARY KEY
);

-- What was erased stays so, and who did it.
CREATE FUNCTION erasure_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF erasing() THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'rows of % stay as they are', TG_TABLE_NAME USING ERRCODE = 'ES025';
END $$;
CREATE TRIGGER erasure_guard BEFORE UPDATE OR DELETE ON erasure FOR EACH ROW EXECUTE FUNCTION erasure_guard();
CREATE TRIGGER archive_tombstone_guard BEFORE UPDATE OR DELETE ON archive_tombstone
  FOR EACH ROW EXECUTE FUNCTION erasure_guard();
CREATE TRIGGER erased_event_guard BEFORE UPDATE OR DELETE ON erased_event
  FOR EACH ROW EXECUTE FUNCTION erasure_guard();

-- True inside of the functions of the next migration. The setting alone is worth nothing: it must be the tables' owner who
-- acts, as whom no service logs in.
CREATE FUNCTION erasing() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(current_setting('matchpurse.erasing', true), '') = 'on'
     AND (SELECT pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = to_regclass('transfer'))
$$;

-- The guards let an erasure change whom a row names, and nothing else of it.
CREATE OR REPLACE FUNCTION ledger_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF erasing() AND to_jsonb(NEW) - 'subject' = to_jsonb(OLD) - 'subject' THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'transfers are only ever added' USING ERRCODE = 'ES003';
END $$;

CREATE OR REPLACE FUNCTION operation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF erasing() AND to_jsonb(NEW) - '{subject,reason,detail,player_key}'::text[]
                   = to_jsonb(OLD) - '{subject,reason,detail,player_key}'::text[] THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'operations are only ever added' USING ERRCODE = 'ES003';
END $$;

CREATE OR REPLACE FUNCTION account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF erasing() AND to_jsonb(NEW) - 'owner_key' = to_jsonb(OLD) - 'owner_key' THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'account % would become another one', OLD.id USING ERRCODE = 'ES008';
END $$;

CREATE OR REPLACE FUNCTION correction_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF erasing() AND to_jsonb(NEW) - '{verdict,reason,decision_reason}'::text[]
                   = to_jsonb(OLD) - '{verdict,reason,decision_reason}'::text[] THEN
      RETURN NEW;
    END IF;
  END IF;
  IF TG_OP = 'DELETE' OR OLD.state <> 'proposed'
     OR (NEW.correction_id, NEW.match_no, NEW.generation, NEW.verdict, NEW.reason, NEW.seen_event_id, NEW.approvals,
         NEW.proposed_by, NEW.proposed_at) IS DISTINCT FROM
        (OLD.correction_id, OLD.match_no, OLD.generation, OLD.verdict, OLD.reason, OLD.seen_event_id, OLD.approvals,
         OLD.proposed_by, OLD.proposed_at) THEN
    RAISE EXCEPTION 'correction % is %, and what it says stays', OLD.correction_id, OLD.state
      USING ERRCODE = 'ES007';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION reward_grant_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF erasing() AND to_jsonb(NEW) - '{player_key,value,payload,detail}'::text[]
                 = to_jsonb(OLD) - '{player_key,value,payload,detail}'::text[] THEN
    RETURN NEW;
  END IF;
  IF NEW.state IN ('reserved', 'released') THEN
    RAISE EXCEPTION 'grant % is % and would become a promise', OLD.grant_id, OLD.state USING ERRCODE = 'ES004';
  END IF;
  IF NEW.state <> OLD.state AND (OLD.state IN ('reversed', 'recorded') OR NEW.state IN ('needs_review', 'recorded')
     OR OLD.state = 'needs_review' AND NEW.state NOT IN ('granted', 'reversed')) THEN
    RAISE EXCEPTION 'grant % is % and would become %', OLD.grant_id, OLD.state, NEW.state USING ERRCODE = 'ES009';
  END IF;
  IF (NEW.contest_key, NEW.player_key, NEW.reward_ref, NEW.kind) IS DISTINCT FROM
     (OLD.contest_key, OLD.player_key, OLD.reward_ref, OLD.kind)
     OR ((NEW.amount, NEW.currency) IS DISTINCT FROM (OLD.amount, OLD.currency)
         AND NOT (OLD.state = 'reversed' AND OLD.amount IS NULL))
     OR (OLD.value IS NOT NULL AND NEW.value IS DISTINCT FROM OLD.value)
     OR (OLD.payload IS NOT NULL AND NEW.payload IS DISTINCT FROM OLD.payload) THEN
    RAISE EXCEPTION 'the value of grant % would change', OLD.grant_id USING ERRCODE = 'ES005';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION outbox_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF erasing() AND to_jsonb(NEW) - '{subject,payload,body}'::text[] = to_jsonb(OLD) - '{subject,payload,body}'::text[] THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the body of notice % would change', OLD.webhook_id USING ERRCODE = 'ES011';
END $$;

CREATE OR REPLACE FUNCTION offer_record_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF erasing() AND to_jsonb(NEW) - '{subject,player_key,reason}'::text[]
                   = to_jsonb(OLD) - '{subject,player_key,reason}'::text[] THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'rows of % stay as they are', TG_TABLE_NAME USING ERRCODE = 'ES018';
END $$;

CREATE OR REPLACE FUNCTION parked_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF erasing() AND to_jsonb(NEW) - '{body,subject,reason,resolution_reason}'::text[]
                   = to_jsonb(OLD) - '{body,subject,reason,resolution_reason}'::text[] THEN
      RETURN NEW;
    END IF;
  END IF;
  IF TG_OP = 'DELETE' OR OLD.resolved_at IS NOT NULL
     OR (NEW.id, NEW.event_id, NEW.queue, NEW.kind, NEW.reason, NEW.body, NEW.routing_key, NEW.traceparent,
         NEW.parked_at, NEW.source, NEW.event_type, NEW.subject) IS DISTINCT FROM
        (OLD.id, OLD.event_id, OLD.queue, OLD.kind, OLD.reason, OLD.body, OLD.routing_key, OLD.traceparent,
         OLD.parked_at, OLD.source, OLD.event_type, OLD.subject) THEN
    RAISE EXCEPTION 'parked delivery % stays what it is', OLD.id USING ERRCODE = 'ES024';
  END IF;
  RETURN NEW;
END $$;

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE ALL ON erasure, erasure_work, archive_tombstone, erased_event FROM matchpurse_app;
    GRANT SELECT ON erasure, archive_tombstone, erased_event TO matchpurse_app;
  END IF;
END $$;
