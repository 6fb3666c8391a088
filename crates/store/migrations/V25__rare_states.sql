-- What is rare in a long history is found without reading all of it. `reward_grant_state` leaves out the states in which
-- most grants end; of these only `fulfilled` is so common that its newest are never far.
CREATE INDEX reward_grant_ended ON reward_grant (state, created_at, grant_id) WHERE state IN ('recorded', 'released');
-- Few are withdrawn. Those of an endpoint are read in the order of the list, those of all endpoints are sorted.
CREATE INDEX delivery_withdrawn ON delivery (endpoint_id, delivery_id) WHERE state = 'withdrawn';
