//! Arguments to one function each; the only exit code.

use std::process::ExitCode;

/// glibc's allocator gives candle's temporaries back to the system each step; this one keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
