//! The broker: topology, publisher, consumer, supervisor, spool relay.
