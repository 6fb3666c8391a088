//! Matchpurse's one configuration file: its schema, defaults and checks.
