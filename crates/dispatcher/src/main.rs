//! The dispatcher as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_dispatcher::main()
}
