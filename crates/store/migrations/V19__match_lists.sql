-- Lists of matches, the newest first, of all sources or of one. Both columns are written once, so a match that changes
-- still changes within its page (HOT). There is no index by status for that reason: whoever looks for one looks through
-- the matches in this order, a bounded number at a time.
CREATE INDEX match_created ON match (created_at, match_no);
CREATE INDEX match_source_created ON match (source, created_at, match_no);
