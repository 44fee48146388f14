//! The tristack binary: arguments in, exit code out.

use std::process::ExitCode;

/// A sixth of the CPU time went to the system's allocator (`tests/bench/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tristack::cli::main()
}
