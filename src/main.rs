//! argv → exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    bearerd::cli::main(std::env::args_os(), std::env::vars_os())
}
