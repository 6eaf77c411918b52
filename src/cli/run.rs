//! `bearerd run`: forward.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::sources::ConfigArgs;
use super::{CONFIGURATION, USAGE};
use crate::app::{self, Start, StartError};
use crate::config::{self, Environment};
use crate::log;
use crate::notify::Notifier;
use crate::server::Inherited;

const HELP: &str = "\
Secrets are never flags: name a file, or set BEARERD_CLIENT_SECRET or BEARERD_PASSWORD.

Examples:
  bearerd run bearerd.toml
  bearerd run --upstream https://api.example.com \\
      --token-endpoint https://login.example.com/oauth/token \\
      --client-id my-client --client-secret-file /run/secrets/client_secret
  curl http://localhost:8080/items          the application's side of it";

/// Forward requests with a fresh token.
///
/// Reads the configuration once, listens (or takes over the sockets of a systemd unit: fd:NAME), gets tokens in the background and forwards until SIGTERM or SIGINT; then it
/// finishes what is in flight and exits with 0.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs until a signal. 0 after draining, 2 without any configuration, 78 with a wrong one, 1 if it cannot start.
pub(super) fn run(args: &RunArgs, environment: Environment, unhardened: &[String]) -> ExitCode {
    let inherited = Inherited::take(&environment.announced());
    let manager = environment.service_manager();
    let sources = match args.config.sources(environment) {
        Ok(sources) => sources,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    let print = config::print(&sources);
    let settings = match config::load(&config::Sources { starts: true, ..sources.clone() }) {
        Ok(settings) => settings,
        Err(mistakes) => return complain(&args.config.explained(&mistakes, &sources), CONFIGURATION),
    };
    let threshold = log::init(&settings.log);
    for warning in unhardened.iter().chain(&settings.warnings) {
        tracing::warn!("{warning}");
    }
    if let Some(unread) = args.config.unread(&sources) {
        tracing::warn!("{unread}");
    }
    let notifier = Notifier::new(&manager);
    match app::run(Start { settings, inherited, sources, print, threshold, notifier }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Inherited(mistakes)) => complain(&mistakes.to_string(), CONFIGURATION),
        Err(error) => {
            tracing::error!("{}{}", log::chain(&error), cure(&error));
            exit_code(&error)
        }
    }
}

/// What to do about it, in the same line.
pub(super) fn cure(error: &StartError) -> &'static str {
    match error {
        StartError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            "; see who has it (ss -ltnp), or write another listen"
        }
        StartError::Bind { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            "; take a port above 1024, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
        }
        StartError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address (ip addr), or write another listen"
        }
        StartError::Files { .. } => "; raise the limit (ulimit -n, or LimitNOFILE= in the unit)",
        _ => "",
    }
}

pub(super) fn exit_code(error: &StartError) -> ExitCode {
    match error {
        StartError::Tls(_) | StartError::ServerName(_) | StartError::Secret(_) | StartError::Inherited(_) => {
            ExitCode::from(CONFIGURATION)
        }
        StartError::Bind { .. } | StartError::Files { .. } | StartError::System(_) => ExitCode::FAILURE,
    }
}

/// Says on standard error why it ends. There is no log yet.
pub(super) fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(code)
}
