//! `bearerd import`: from what there is already to a configuration, on standard output.
//!
//! Owns the two verbs, their input and their exit codes. What is read is not sent anywhere, and no secret in it is printed: not
//! into the configuration, not into a message.

mod body;
mod curl;
mod draft;
mod endpoint;
mod harmless;
mod headers;
mod html;
mod infer;
mod literal;
mod marks;
mod options;
mod prometheus;
mod shell;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::draft::{Draft, Needed};
use self::infer::Wishes;
use self::shell::{At, Line, Refusal, Word};
use super::USAGE;
use super::run::complain;
use crate::config;

const CURL_HELP: &str = "\
Examples:
  bearerd import curl 'curl -d grant_type=client_credentials …' > bearerd.toml
  bearerd import curl - <<'EOF'            (any quotes survive)
  bearerd import curl -- curl -u id:secret -d scope=read https://…

Secrets are never written: each becomes a file or a variable, with a comment
that says what to put there, and so does a value that may be one. A real secret
in an argument can be seen by other processes of this machine: give such a line
on standard input.

Exit codes: 0 printed, 1 the line cannot be imported, 2 wrong usage.";

const PROMETHEUS_HELP: &str = "\
Examples:
  bearerd import prometheus prometheus.yml > bearerd.toml

Reads every oauth2 block in the file, or a file that is one.

Exit codes: 0 printed, 1 a block cannot be imported, 2 wrong usage.";

/// Longest input, in bytes.
const LONGEST: u64 = 16 << 20;

/// `bearerd import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// A credential from the curl line in a vendor's documentation
    #[command(after_help = CURL_HELP)]
    Curl(CurlArgs),
    /// A credential from each oauth2 block of a Prometheus configuration
    #[command(after_help = PROMETHEUS_HELP)]
    Prometheus(PrometheusArgs),
}

#[derive(Debug, Args)]
struct CurlArgs {
    /// Name of the credential and its route [default: after the host]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// The API that wants the tokens [default: a placeholder]
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    upstream: Option<String>,
    /// The line, in quotes or behind --; "-" or nothing: standard input
    #[arg(value_name = "LINE", trailing_var_arg = true, allow_hyphen_values = true)]
    line: Vec<OsString>,
}

#[derive(Debug, Args)]
struct PrometheusArgs {
    /// The file; "-" for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

fn parse_name(text: &str) -> Result<String, String> {
    config::check_name(text).map(|()| text.to_owned())
}

fn parse_url(text: &str) -> Result<String, String> {
    config::check_url(text).map(|_| text.to_owned())
}

/// Prints what was imported, and on standard error what is left to do.
pub(super) fn run(args: ImportArgs) -> ExitCode {
    match args.from {
        From::Curl(args) => run_curl(args),
        From::Prometheus(args) => run_prometheus(&args),
    }
}

fn run_curl(args: CurlArgs) -> ExitCode {
    let Ok(arguments) = args.line.into_iter().map(OsString::into_string).collect::<Result<Vec<_>, _>>() else {
        return complain("bearerd import curl: an argument is not UTF-8 text", USAGE);
    };
    let wishes = Wishes { name: args.name, upstream: args.upstream };
    let line = match arguments.as_slice() {
        [] => from_stdin(true).map(|text| shell::split(&text)),
        [dash] if dash == "-" => from_stdin(true).map(|text| shell::split(&text)),
        [text] => Ok(shell::split(text)),
        words => Ok(Ok(from_arguments(words))),
    };
    let line = match line {
        Ok(line) => line,
        Err(error) => return complain(&format!("bearerd import curl: cannot read standard input: {error}"), 1),
    };
    match line.and_then(|line| import_curl(line, &wishes)) {
        Ok(draft) => print(&[draft], &[], ""),
        Err(refusal) => complain(&format!("bearerd import curl: {refusal}"), 1),
    }
}

fn import_curl(line: Line, wishes: &Wishes) -> Result<Draft, Refusal> {
    infer::draft(&curl::read(line)?, wishes)
}

/// Words that a shell has split already.
fn from_arguments(words: &[String]) -> Line {
    let word = |(index, text): (usize, &String)| {
        let text = text.replace(marks::is_private, "");
        Word { text, at: At::Argument(index + 1) }
    };
    Line { words: words.iter().enumerate().map(word).collect(), piped: None }
}

fn run_prometheus(args: &PrometheusArgs) -> ExitCode {
    let is_stdin = args.file.as_os_str() == "-";
    let text = if is_stdin { from_stdin(false) } else { read(&args.file) };
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            return complain(&format!("bearerd import prometheus: cannot read {}: {error}", args.file.display()), 1);
        }
    };
    let base = if is_stdin { None } else { args.file.parent() };
    let base = std::path::absolute(base.unwrap_or(std::path::Path::new(""))).ok();
    match prometheus::read(&text, base.as_deref()) {
        Ok(found) => print(&found.drafts, &found.refused, &format!("{}:", args.file.display())),
        Err(refusal) => complain(&format!("bearerd import prometheus: {}:{refusal}", args.file.display()), 1),
    }
}

fn read(path: &std::path::Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn from_stdin(asks: bool) -> io::Result<String> {
    let mut stdin = io::stdin();
    if asks && stdin.is_terminal() {
        let _ = writeln!(io::stderr(), "Paste the curl line, then press Ctrl-D on a line of its own:");
    }
    let mut text = String::new();
    stdin.by_ref().take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// The configuration on standard output, all else on standard error.
fn print(drafts: &[Draft], refused: &[String], place: &str) -> ExitCode {
    let text: Vec<String> = drafts.iter().map(|draft| draft.to_toml(true)).collect();
    super::output::write(text.join("\n\n"));
    let _ = write!(io::stderr(), "{}", to_do(drafts, super::output::is_file()));
    for refusal in refused {
        let _ = writeln!(io::stderr(), "not imported: {place}{refusal}");
    }
    if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a person does next, in their order.
fn to_do(drafts: &[Draft], are_saved: bool) -> String {
    let mut text = String::new();
    for draft in drafts {
        for note in &draft.notes {
            let _ = writeln!(text, "note: {}: {}", draft.name, note.replace(char::is_control, " "));
        }
    }
    text.push_str(super::init::first(are_saved));
    let mut said: Vec<String> = Vec::new();
    for draft in drafts {
        if draft.upstream.is_none() {
            said.push(format!("replace upstream of [routes.{}]", draft.name));
        }
        said.extend(draft.needed.iter().map(|needed| match needed {
            Needed::Edit { what } => format!("replace {what}"),
            Needed::Variable { name, what } => format!("set {name}: the {what}"),
            Needed::File { path, what } => format!("put the {what} into {path}"),
        }));
    }
    let mut seen = std::collections::HashSet::new();
    for line in said.into_iter().filter(|line| seen.insert(line.clone())) {
        let _ = writeln!(text, "  {}", line.replace(char::is_control, " "));
    }
    text.push_str(super::init::CHECK);
    text
}
