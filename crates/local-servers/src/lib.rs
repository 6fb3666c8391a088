//! Starts and stops private PostgreSQL and RabbitMQ instances as child processes.
