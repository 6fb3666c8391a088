//! The ingress as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_ingress::main()
}
