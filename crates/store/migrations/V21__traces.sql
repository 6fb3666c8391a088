-- Where traces are sent, the place in its trace that a notice goes on from: W3C's `traceparent` of the work on the event
-- that it tells of.
ALTER TABLE outbox ADD COLUMN traceparent text;
