//! argv → exit code, nothing else.

use std::process::ExitCode;

/// Gives memory back to the system when connections rest or a flood is over; glibc keeps it (`bench/run --case idle-http1`).
/// Without huge pages, which would double the memory at rest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bearerd::cli::main(std::env::args_os(), std::env::vars_os())
}
