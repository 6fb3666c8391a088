//! The reconciler as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    matchpurse_reconciler::main()
}
