-- What people ask of endpoints and deliveries: under which key, so that asking twice does it once, and what exactly was
-- changed.

-- Which request a key stands for. An endpoint's keys are its own.
CREATE TABLE dispatch_request (
  endpoint_id integer NOT NULL REFERENCES endpoint,
  idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  kind text NOT NULL CHECK (kind IN ('endpoint_added', 'endpoint_tested', 'delivery_retried')),
  request uuid NOT NULL,   -- a UUIDv5 of all that was asked for
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (endpoint_id, idempotency_key)
);

CREATE TRIGGER dispatch_request_guard BEFORE UPDATE OR DELETE ON dispatch_request
  FOR EACH ROW EXECUTE FUNCTION operation_guard();
CREATE TRIGGER dispatch_request_guard_truncate BEFORE TRUNCATE ON dispatch_request
  FOR EACH STATEMENT EXECUTE FUNCTION operation_guard();

ALTER TABLE dispatch_operation DROP CONSTRAINT dispatch_operation_kind_check;
ALTER TABLE dispatch_operation ADD CONSTRAINT dispatch_operation_kind_check
  CHECK (kind IN ('endpoint_added', 'endpoint_changed', 'endpoint_secrets_changed', 'endpoint_disabled',
                  'endpoint_enabled', 'endpoint_removed', 'endpoint_tested', 'delivery_retried'));
-- What was changed from what to what: where webhooks go is as sensitive as what is in them. No secret, no URL's query.
ALTER TABLE dispatch_operation ADD COLUMN detail jsonb NOT NULL DEFAULT '{}';

-- How many of an endpoint's were given up is counted without reading its history.
CREATE INDEX delivery_given_up_endpoint ON delivery (endpoint_id, delivery_id) WHERE state = 'given_up';

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'matchpurse_app') THEN
    REVOKE UPDATE, DELETE ON dispatch_request FROM matchpurse_app;
  END IF;
END $$;
