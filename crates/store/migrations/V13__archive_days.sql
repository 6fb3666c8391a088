-- The archive by day, so that old days can leave it without a row being deleted; and the order of a batch in the inbox.

-- Where an event is. `event_id` must be unique for ever, over all days and also those that have left the archive; a
-- table that is cut by day can hold that only within a day.
CREATE TABLE archive_event (
  event_id uuid PRIMARY KEY,
  source text NOT NULL,
  seq bigint NOT NULL,
  day date NOT NULL
);

-- The days that have left the archive, a source each: what proves the chain behind them, and a file that holds them.
CREATE TABLE archive_detached (
  source text NOT NULL,
  day date NOT NULL,
  first_seq bigint NOT NULL CHECK (first_seq > 0),
  last_seq bigint NOT NULL,
  rows bigint NOT NULL,
  before bytea NOT NULL CHECK (octet_length(before) = 32),  -- the hash before the first row
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),      -- the last row's
  exported_to text,                                         -- what the file was called, where one was written
  detached_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, day),
  UNIQUE (source, first_seq),
  CHECK (rows = last_seq - first_seq + 1)
);
CREATE INDEX archive_detached_day ON archive_detached (day);

-- The day of the last row: days do not go back along a chain, whatever the clocks do.
ALTER TABLE archive_head ADD COLUMN day date;

-- The day under which a row is kept: that of its time, but never before the row before it, and never one that has left.
CREATE FUNCTION archive_day(at timestamptz, not_before date) RETURNS date LANGUAGE sql STABLE AS $$
  SELECT greatest((at AT TIME ZONE 'UTC')::date, not_before, (SELECT max(d.day) + 1 FROM archive_detached d))
$$;

ALTER TABLE archive RENAME TO archive_undivided;
CREATE TABLE archive (
  source text NOT NULL,
  seq bigint NOT NULL CHECK (seq > 0),
  event_id uuid NOT NULL,
  delivery_id uuid NOT NULL,
  payload text NOT NULL,
  provider text NOT NULL,
  provider_type text NOT NULL,
  subject text NOT NULL,
  occurred_at timestamptz,
  received_at timestamptz NOT NULL,
  archived_at timestamptz NOT NULL,
  raw bytea NOT NULL,
  event bytea NOT NULL,          -- protobuf, without the raw body
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  day date NOT NULL              -- where it is kept; not part of the hash
) PARTITION BY RANGE (day);

-- Services own nothing, so these run with the rights of whoever migrated, with the one schema of these tables in
-- sight. ATTACH lets others read and write the archive meanwhile; a default partition would not let it.
DO $$
BEGIN
  EXECUTE format($function$
CREATE FUNCTION archive_make_day(made date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = %1$I, pg_temp AS $body$
DECLARE
  part text := 'archive_d' || to_char(made, 'YYYYMMDD');
BEGIN
  IF to_regclass(part) IS NOT NULL THEN
    RETURN;
  END IF;
  -- One at a time. Whoever waits here holds the ends of chains, and nobody who is ahead of it wants those.
  LOCK TABLE archive IN SHARE UPDATE EXCLUSIVE MODE;
  IF to_regclass(part) IS NOT NULL THEN
    RETURN;
  END IF;
  IF made <= (SELECT max(day) FROM archive_detached) THEN
    RAISE EXCEPTION 'day %% has left the archive', made USING ERRCODE = 'ES020';
  END IF;
  EXECUTE format('CREATE TABLE %%I (LIKE archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES,
                                    CHECK (day = %%L)) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)', part, made);
  EXECUTE format('ALTER TABLE archive ATTACH PARTITION %%I FOR VALUES FROM (%%L) TO (%%L)', part, made, made + 1);
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    EXECUTE format('REVOKE ALL ON %%I FROM matchpurse_app', part);
    EXECUTE format('GRANT SELECT ON %%I TO matchpurse_app', part);
  END IF;
END $body$;

CREATE FUNCTION archive_detach_day(gone date, exported text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = %1$I, pg_temp SET lock_timeout = '500ms' AS $body$
DECLARE
  part text := 'archive_d' || to_char(gone, 'YYYYMMDD');
BEGIN
  IF NOT EXISTS (SELECT FROM pg_inherits
                  WHERE inhparent = 'archive'::regclass AND inhrelid = to_regclass(part)) THEN
    RAISE EXCEPTION 'day %% is not in the archive', gone USING ERRCODE = 'ES020';
  END IF;
  -- It waits for whoever reads or writes the archive now, and they for it: not for long, then it must be tried again.
  LOCK TABLE archive IN ACCESS EXCLUSIVE MODE;
  IF gone >= (now() AT TIME ZONE 'UTC')::date THEN
    RAISE EXCEPTION 'day %% is not over', gone USING ERRCODE = 'ES021';
  END IF;
  IF EXISTS (SELECT FROM archive WHERE day < gone) THEN
    RAISE EXCEPTION 'there is an earlier day than %% in the archive', gone USING ERRCODE = 'ES022';
  END IF;
  INSERT INTO archive_detached (source, day, first_seq, last_seq, rows, before, hash, exported_to)
  SELECT d.source, gone, d.first_seq, d.last_seq, d.rows, coalesce(p.hash, '\x%2$s'), l.hash, exported
    FROM (SELECT source, min(seq) AS first_seq, max(seq) AS last_seq, count(*) AS rows
            FROM archive WHERE day = gone GROUP BY source) d
    JOIN archive l ON (l.source, l.seq, l.day) = (d.source, d.last_seq, gone)
    LEFT JOIN LATERAL (SELECT x.last_seq, x.hash FROM archive_detached x WHERE x.source = d.source
                        ORDER BY x.first_seq DESC LIMIT 1) p ON true
   -- A chain with a hole cannot be proved behind it.
   WHERE d.first_seq = coalesce(p.last_seq, 0) + 1;
  IF (SELECT count(*) FROM archive_detached WHERE day = gone)
     <> (SELECT count(DISTINCT source) FROM archive WHERE day = gone) THEN
    RAISE EXCEPTION 'rows of the archive are missing before day %%', gone USING ERRCODE = 'ES023';
  END IF;
  EXECUTE format('ALTER TABLE archive DETACH PARTITION %%I', part);
END $body$;
$function$, current_schema(), repeat('00', 32));
END $$;
REVOKE EXECUTE ON FUNCTION archive_make_day, archive_detach_day FROM PUBLIC;

-- What is there already goes to its days.
CREATE TEMPORARY TABLE archive_placed ON COMMIT DROP AS
  SELECT source, seq, max((archived_at AT TIME ZONE 'UTC')::date) OVER (PARTITION BY source ORDER BY seq) AS day
    FROM archive_undivided;
SELECT archive_make_day(day) FROM (SELECT DISTINCT day FROM archive_placed) days;
INSERT INTO archive
  SELECT a.source, a.seq, a.event_id, a.delivery_id, a.payload, a.provider, a.provider_type, a.subject, a.occurred_at,
         a.received_at, a.archived_at, a.raw, a.event, a.hash, p.day
    FROM archive_undivided a JOIN archive_placed p USING (source, seq);
INSERT INTO archive_event SELECT event_id, source, seq, day FROM archive;
UPDATE archive_head h SET day = (SELECT max(p.day) FROM archive_placed p WHERE p.source = h.source);
DROP TABLE archive_undivided;
ALTER TABLE archive ADD CONSTRAINT archive_pkey PRIMARY KEY (source, seq, day);
CREATE INDEX archive_subject ON archive (source, subject, seq);
CREATE INDEX archive_delivery ON archive (delivery_id);
CREATE INDEX archive_received ON archive (received_at DESC, event_id);

-- Services add, and take nothing away: a day that is detached is still a table, which is not theirs.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE ALL ON archive, archive_event, archive_detached FROM matchpurse_app;
    GRANT SELECT, INSERT ON archive, archive_event TO matchpurse_app;
    GRANT SELECT ON archive_detached TO matchpurse_app;
    GRANT EXECUTE ON FUNCTION archive_make_day, archive_detach_day TO matchpurse_app;
  END IF;
END $$;

-- The place of an event in its batch. With `seen_at` it is the order in which a worker applied events, which a
-- rebuild follows where two events contradict each other.
ALTER TABLE inbox ADD COLUMN place integer;
