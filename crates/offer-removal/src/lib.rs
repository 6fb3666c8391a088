//! Worker: offer-removal.
