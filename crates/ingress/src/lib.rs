//! Verifies, normalizes and publishes what providers send to /hooks/{source}.
