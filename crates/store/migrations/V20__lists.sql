-- Lists of what needs a person, however much of it was decided long ago. Both tables are written seldom, so what is looked
-- for often may have an index.
CREATE INDEX anomaly_kind ON anomaly (kind, id);
-- About a subject of any source, too.
DROP INDEX anomaly_subject;
CREATE INDEX anomaly_subject ON anomaly (subject, source, id);
CREATE INDEX parked_source ON parked (source, id);
CREATE INDEX parked_kind ON parked (kind, id);
