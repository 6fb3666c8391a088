-- How far each worker has looked for what it never got, and what is asked of the spool meanwhile.

-- Up to `through`, everything in a source's chain that the worker wants has been applied or parked, or waits in the spool
-- for this worker. That holds for the payloads that it wanted then: one that wants others since an upgrade begins anew.
CREATE TABLE missed_search (
  worker text NOT NULL,
  source text NOT NULL,
  payloads text[] NOT NULL,
  through bigint NOT NULL CHECK (through >= 0),
  looked_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (worker, source)
) WITH (fillfactor = 50);

-- Whether an event waits in the spool, however long that is.
CREATE INDEX spool_event ON spool (event_id);

-- A worker may say how far it has looked, and nothing else.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE ALL ON missed_search FROM matchpurse_app;
    GRANT SELECT, INSERT ON missed_search TO matchpurse_app;
    GRANT UPDATE (payloads, through, looked_at) ON missed_search TO matchpurse_app;
  END IF;
END $$;
