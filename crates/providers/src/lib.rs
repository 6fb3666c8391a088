//! Verifies and normalizes what the providers send; one folder a provider.
