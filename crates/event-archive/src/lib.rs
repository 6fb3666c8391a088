//! Worker: event-archive.
