//! PostgreSQL: pool, migrations, and one module an aggregate.
