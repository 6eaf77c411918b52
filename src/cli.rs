//! The verbs, one file each, and what can be written behind them.
//!
//! Owns argv, the environment, standard output and the exit codes: nothing else of the library touches any of them. Refuses to take a
//! secret as an argument, where every process of the machine could read it.

mod check;
pub mod copy_to;
mod demo;
mod exec;
pub mod explain;
mod fetch;
pub mod healthcheck;
mod import;
mod init;
mod manual;
mod output;
mod query;
pub mod retry;
mod run;
mod schema;
mod sources;
mod status;
pub mod wait;
pub mod whom;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::Environment;
use crate::{panics, process};
use whom::Whom;

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;
/// The token endpoint refused the credentials (`EX_NOPERM` of sysexits.h).
const REFUSED: u8 = 77;
/// The configuration is wrong (`EX_CONFIG`).
const CONFIGURATION: u8 = 78;

const EXAMPLES: &str = "\
Examples:
  bearerd demo                          see it work: no account, no configuration
  bearerd init VENDOR > bearerd.toml    a configuration to begin with
  bearerd import curl 'curl -d …'       or the line of a vendor's documentation
  bearerd check bearerd.toml            every mistake at once, with line and cure
  bearerd check --fetch bearerd.toml    and get one token for each credential
  bearerd run bearerd.toml              forward
  bearerd run --upstream https://api.example.com \\
      --token-endpoint https://login.example.com/oauth/token \\
      --client-id my-client --client-secret-file /run/secrets/client_secret

Exit codes: 0 clean, 1 failed, 2 wrong usage, 77 the token endpoint refused
the credentials, 78 wrong configuration.";

/// A reverse proxy that gives outgoing requests a fresh OAuth bearer token.
///
/// An application that knows nothing of OAuth calls http://localhost:8080; bearerd obtains and renews the access token
/// in the background, sets the Authorization header, forwards to the API, and when the API rejects a token with 401 it
/// gets a new one and sends the request again.
#[derive(Debug, Parser)]
#[command(name = "bearerd", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Forward requests with a fresh token
    Run(run::RunArgs),
    /// Run a command beside a bearerd of its own, and end with it
    Exec(exec::ExecArgs),
    /// Validate a configuration and show every mistake; get a token, probe the API
    Check(check::CheckArgs),
    /// See it work: an authorization server, an API and bearerd in one process
    ///
    /// Tells a story of four parts within 20 seconds, checks each of them with real counters, then stays up for you to
    /// try things until Ctrl-C. Needs no account, no network and no configuration.
    Demo(demo::DemoArgs),
    /// Print a commented configuration for a vendor
    Init(init::InitArgs),
    /// Make a configuration of a curl line or of Prometheus' oauth2 blocks
    Import(import::ImportArgs),
    Status(status::StatusArgs),
    /// Ask a running bearerd how it is: exit code 0 or 1, for container probes
    Healthcheck(HealthcheckArgs),
    /// Make a credential that waits or has given up ask again
    Retry(RetryArgs),
    /// Print the JSON Schema of the configuration, for editors; or its reference
    Schema(schema::SchemaArgs),
    /// Explain a reason code: cause and cure
    Explain(ExplainArgs),
    /// Wait until a running bearerd is ready
    Wait(WaitArgs),
    /// Copy this program into a directory, for images that share a volume
    CopyTo(CopyToArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
}

/// `bearerd wait`.
#[derive(Debug, Args)]
struct WaitArgs {
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    admin: AdminArgs,
}

/// `bearerd copy-to`.
#[derive(Debug, Args)]
struct CopyToArgs {
    /// The directory; the file in it is called bearerd
    directory: PathBuf,
}

/// `bearerd completions`.
#[derive(Debug, Args)]
struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// `bearerd healthcheck`.
#[derive(Debug, Args)]
struct HealthcheckArgs {
    /// Does the process answer at all?
    #[arg(long, group = "question")]
    live: bool,
    /// Does it listen, and have the first token requests been answered?
    #[arg(long, group = "question")]
    started: bool,
    /// Does every required credential have a usable token? (default)
    #[arg(long, group = "question")]
    ready: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// `bearerd retry`.
#[derive(Debug, Args)]
struct RetryArgs {
    /// Name of the credential: api for [credentials.api]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Where a running bearerd is asked.
#[derive(Debug, Args)]
struct AdminArgs {
    /// Where its admin listener is [default: as the configuration says, else localhost:9180]
    #[arg(long = "admin", value_name = "ADDRESS", env = "BEARERD_ADMIN_LISTEN")]
    address: Option<String>,
    /// The configuration that says so [default: as `run` finds it] [env: BEARERD_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl AdminArgs {
    /// `probes`: whether a probe listener will do.
    fn whom(self, environment: Environment, probes: bool) -> Whom {
        let whom = Whom::of(self.address, self.config, environment, probes);
        if let Some(note) = whom.note() {
            let _ = writeln!(std::io::stderr(), "{note}");
        }
        whom
    }
}

/// `bearerd explain`.
#[derive(Debug, Args)]
struct ExplainArgs {
    /// A code such as T021; left out, all are listed
    code: Option<String>,
    /// Print the pages of all codes as one Markdown document
    #[arg(long, conflicts_with = "code")]
    markdown: bool,
}

/// Everything the binary does: reads the command line and runs a verb.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let limits = process::Limits::now();
    // Before anything is read that could be secret.
    let unhardened = process::harden();
    panics::watch();
    let arguments: Vec<_> = arguments.into_iter().collect();
    let variables: Vec<_> = variables.into_iter().collect();
    // https://no-color.org: if it is set, and not to nothing.
    let no_color = variables.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    let environment = Environment::new(variables);
    let command_line = match CommandLine::try_parse_from(&arguments) {
        Ok(command_line) => command_line,
        Err(error) => {
            let _ = error.print();
            if let Some(tip) = tip(&arguments) {
                let _ = writeln!(std::io::stderr(), "\n  tip: {tip}");
            }
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let code = match command_line.verb {
        Verb::Run(args) => run::run(&args, environment, &unhardened),
        Verb::Exec(args) => {
            let given = exec::Given { arguments: &arguments, environment, limits, unhardened: &unhardened };
            exec::run(&args, given)
        }
        Verb::Check(args) => check::run(&args, environment),
        Verb::Demo(args) => demo::run(args),
        Verb::Init(args) => init::run(&args),
        Verb::Import(args) => import::run(args),
        Verb::Healthcheck(args) => healthcheck::run(&args.asked(environment)),
        Verb::Retry(args) => retry::run(&retry::Args { name: args.name, whom: args.admin.whom(environment, false) }),
        Verb::Schema(args) => schema::run(&args),
        Verb::Status(args) => status::run(args, environment, no_color),
        Verb::Explain(args) => explain::run(&explain::Args { code: args.code, markdown: args.markdown }),
        Verb::Wait(args) => wait::run(&wait::Args { timeout: args.timeout, whom: args.admin.whom(environment, true) }),
        Verb::CopyTo(args) => copy_to::run(&args.directory),
        Verb::Completions(args) => manual::completions(args.shell, &mut CommandLine::command()),
        Verb::Man => manual::page(CommandLine::command()),
    };
    output::ending(code)
}

/// What a line most likely meant that clap takes for another one.
fn tip(arguments: &[OsString]) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == "--watch")?;
    let interval = arguments.get(at + 1)?.to_str().filter(|text| humantime::parse_duration(text).is_ok())?;
    Some(format!("write --watch={interval}"))
}

impl HealthcheckArgs {
    fn asked(self, environment: Environment) -> healthcheck::Args {
        let kind = match (self.live, self.started) {
            (true, _) => healthcheck::Kind::Live,
            (_, true) => healthcheck::Kind::Started,
            _ => healthcheck::Kind::Ready,
        };
        healthcheck::Args { kind, whom: self.admin.whom(environment, true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn an_interval_beside_watch_is_said_to_belong_to_it() {
        let tip = |line: &str| tip(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(tip("bearerd status --watch 5s").as_deref(), Some("write --watch=5s"));
        assert_eq!(tip("bearerd status --watch --admin"), None);
        assert_eq!(tip("bearerd status --watch"), None);
    }

    #[test]
    fn no_flag_takes_a_secret() {
        for verb in CommandLine::command().get_subcommands() {
            for flag in verb.get_arguments().filter_map(clap::Arg::get_long) {
                let is_secret = ["secret", "password", "token"].contains(&flag.rsplit('-').next().unwrap());
                assert!(!is_secret || flag == "response-access-token", "--{flag} of {}", verb.get_name());
            }
        }
    }
}
