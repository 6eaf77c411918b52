//! `bearerd demo`: what the command line says, and the exit code.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::demo::{self, DemoError, Ending, Options};
use crate::runtime;

/// `bearerd demo`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End after the story: with 0 if every part went well, with 1 if not
    #[arg(long)]
    exit: bool,
    /// Save the configuration that bearerd runs with, ready to edit; an existing file is not overwritten
    #[arg(long, value_name = "FILE")]
    write_config: Option<PathBuf>,
    /// Use ports PORT to PORT+3 for bearerd, its admin listener, the API and the authorization server [default: any
    /// free ones]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65532))]
    port: Option<u16>,
}

/// Runs the demo to its end.
pub(super) fn run(args: DemoArgs) -> ExitCode {
    match play(args) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bearerd demo: {}", crate::log::chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn play(args: DemoArgs) -> Result<ExitCode, DemoError> {
    let exit = args.exit;
    let terminal = io::stdout().is_terminal();
    // https://no-color.org: set and not empty, whatever it says.
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let options = Options {
        exit,
        write_config: args.write_config,
        first_port: args.port,
        terminal,
        colour: terminal && !unwanted,
    };
    let runtime = runtime::start().map_err(DemoError::Servers)?;
    Ok(match runtime.block_on(demo::run(options))? {
        Ending::Good => ExitCode::SUCCESS,
        // A script that asked for the story did not get it; a person who pressed Ctrl-C got what they wanted.
        Ending::Interrupted if !exit => ExitCode::SUCCESS,
        Ending::Interrupted | Ending::PartsFailed => ExitCode::FAILURE,
    })
}
