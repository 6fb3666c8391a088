-- The login of Matchpurse's services. What it may do is what `matchpurse migrate` grants to matchpurse_app: read and
-- write, but only add to the ledger, the operations and the archive.
CREATE ROLE matchpurse_app NOLOGIN;
CREATE ROLE matchpurse_service LOGIN PASSWORD 'development' IN ROLE matchpurse_app;
