//! The API as its clients and operators see it: a real server on a free port, and a real PostgreSQL.
