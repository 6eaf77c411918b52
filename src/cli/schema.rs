//! `bearerd schema`: the JSON Schema of the configuration, or its reference as a document.

use std::process::ExitCode;

use super::output;
use crate::config;

const HELP: &str = "\
An editor with taplo (Even Better TOML) checks the file as you type:
  bearerd schema > bearerd.schema.json
and as the first line of bearerd.toml:
  #:schema ./bearerd.schema.json";

/// Print the JSON Schema of the configuration
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct SchemaArgs {
    /// Print the reference of all keys as a Markdown document instead
    #[arg(long)]
    markdown: bool,
}

/// Prints it.
pub(super) fn run(args: &SchemaArgs) -> ExitCode {
    let text = if args.markdown { config::reference() } else { format!("{:#}\n", config::schema()) };
    output::write(text);
    ExitCode::SUCCESS
}
