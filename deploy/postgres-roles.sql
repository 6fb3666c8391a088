-- The login of Matchpurse's services. What it may do is what `matchpurse migrate` grants to matchpurse_app: read and
-- write, but only add to the ledger, the operations and the archive. psql reads its password from the secret.
\set password `cat /run/secrets/postgres_service_password`
CREATE ROLE matchpurse_app NOLOGIN;
CREATE ROLE matchpurse_service LOGIN PASSWORD :'password' IN ROLE matchpurse_app;
