//! The API as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_api::main()
}
