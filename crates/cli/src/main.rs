//! The matchpurse command.
fn main() {}
