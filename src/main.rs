//! The tristack binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    tristack::cli::main()
}
