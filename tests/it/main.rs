//! The integration tests of Matchpurse, in one binary.
