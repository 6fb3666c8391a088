-- What batches cost: updates that stay in their page, and bodies that are compressed by the faster of two ways.

-- An offer's description changes with each event that speaks of it, and was in the condition of an index: so every such
-- change wrote all of the indexes anew. Whether there is a description at all changes once.
ALTER TABLE offer ADD COLUMN known boolean GENERATED ALWAYS AS (data IS NOT NULL) STORED;
DROP INDEX offer_eligible;
CREATE INDEX offer_eligible ON offer (source, offer_id) INCLUDE (state) WHERE known;

-- A day that is made is compressed as the archive is.
DO $$
BEGIN
  EXECUTE format($function$
CREATE OR REPLACE FUNCTION archive_make_day(made date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
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
  EXECUTE format('CREATE TABLE %%I (LIKE archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES
                                    INCLUDING COMPRESSION,
                                    CHECK (day = %%L)) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)', part, made);
  EXECUTE format('ALTER TABLE archive ATTACH PARTITION %%I FOR VALUES FROM (%%L) TO (%%L)', part, made, made + 1);
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    EXECUTE format('REVOKE ALL ON %%I FROM matchpurse_app', part);
    EXECUTE format('GRANT SELECT ON %%I TO matchpurse_app', part);
  END IF;
END $body$;
$function$, current_schema());
END $$;

-- What is stored already stays as it is. Where the server was built without it, everything does.
DO $$
BEGIN
  ALTER TABLE archive ALTER COLUMN raw SET COMPRESSION lz4, ALTER COLUMN event SET COMPRESSION lz4;
  ALTER TABLE outbox ALTER COLUMN payload SET COMPRESSION lz4, ALTER COLUMN body SET COMPRESSION lz4;
  ALTER TABLE spool ALTER COLUMN body SET COMPRESSION lz4;
  ALTER TABLE parked ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION
  WHEN feature_not_supported THEN RAISE NOTICE 'this server has no lz4; bodies are compressed as before';
END $$;
