-- What the PostgreSQL of docker-compose.yml begins with: a login for each service. The passwords are variables of psql that
-- the secret sets.
\i /run/secrets/postgres_logins
\i /etc/matchpurse/postgres-service-roles.sql
