//! The escrow's rules at their boundary: snapshots in, one line of text out for each; and their properties
//! over every order of a match's events.

mod language;
mod properties;
mod table;
