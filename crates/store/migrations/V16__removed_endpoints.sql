-- What is left of an endpoint that was removed, and keys that a provider does not take.

-- Why a delivery ended without having been tried to its end. 'endpoint_removed': nobody sends to its endpoint any more;
-- it waits for a person, as all that is given up. 'handed_on': a person gave it to the endpoints that are there now.
ALTER TABLE delivery ADD COLUMN because text;
ALTER TABLE delivery ADD CONSTRAINT delivery_because_check
  CHECK (because IS NULL OR because IN ('endpoint_removed', 'handed_on') AND state IN ('given_up', 'withdrawn'));
-- What comes back with its endpoint, and what the dispatcher has yet to end.
CREATE INDEX delivery_because ON delivery (because, endpoint_id, position) WHERE because IS NOT NULL AND state = 'given_up';

-- 'key_refused': it was not about the call, so it was none of its attempts.
ALTER TABLE redemption_call DROP CONSTRAINT redemption_call_last_outcome_check;
ALTER TABLE redemption_call ADD CONSTRAINT redemption_call_last_outcome_check
  CHECK (last_outcome IN ('delivered', 'refused', 'key_refused', 'throttled', 'not_sent', 'unknown', 'abandoned'));
