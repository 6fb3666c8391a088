//! Plays the providers, signed as they sign, and knows the effects that must result.
