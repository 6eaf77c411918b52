//! `bearerd completions SHELL` and `bearerd man`: what packages install beside the binary, made from the command line itself.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

use super::output;

/// Prints completions.
pub(super) fn completions(shell: Shell, command: &mut Command) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, command, "bearerd", &mut text);
    print(&text)
}

/// Prints the manual page, with a section for each verb. 0, or 1 if it cannot be made.
pub(super) fn page(command: Command) -> ExitCode {
    match manual(command) {
        Ok(text) => print(&text),
        Err(error) => {
            let _ = writeln!(io::stderr(), "the manual page cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The page of the whole command, followed by the options of each verb.
fn manual(mut command: Command) -> io::Result<Vec<u8>> {
    command.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for verb in command.get_subcommands() {
        writeln!(text, ".SH \"BEARERD {}\"", verb.get_name().to_uppercase())?;
        let page = clap_mangen::Man::new(verb.clone());
        page.render_synopsis_section(&mut text)?;
        page.render_options_section(&mut text)?;
    }
    // The verbs stand on this page; there are none of their own.
    let text = String::from_utf8_lossy(&text).replace("bearerd\\-", "bearerd ").replace("(1)\n", "\n");
    Ok(text.into_bytes())
}

fn print(text: &[u8]) -> ExitCode {
    output::write(text);
    ExitCode::SUCCESS
}
