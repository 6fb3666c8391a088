//! What every service needs and no business word: configuration loading, logs, metrics, health, shutdown, HTTP client.
