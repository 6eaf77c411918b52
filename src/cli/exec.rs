//! `bearerd exec -- CMD`: bearerd around one command, for jobs.
//!
//! Owns the order: listen on free ports of this machine, wait for tokens, run the command with its URLs, pass signals on, drain, end as
//! the command did. The command gets no variable of ours and none that a secret was read from, its resource limits are those that
//! bearerd was started with, and whatever it leaves behind is reaped if nobody else would.

mod child;
#[cfg(unix)]
mod unix;
mod urls;
#[cfg(windows)]
mod windows;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use super::run::{complain, exit_code};
use super::sources::ConfigArgs;
use super::{CONFIGURATION, REFUSED, USAGE};
use crate::app::{App, StartError};
use crate::clock::Clock;
use crate::config::{self, Environment, ListenAddress, Settings};
use crate::log;
use crate::process::Limits;
use crate::runtime;
use crate::server::Inherited;
use crate::token::Status;
use system::Signals;
use urls::{Template, Urls};

const HELP: &str = "\
The command finds the URL of the first route in BEARERD_URL and that of each route in BEARERD_URL_NAME (in capitals; what is no letter
or digit is _). It gets no other BEARERD_… variable and none that a secret is read from. Listeners are free ports of this machine,
whatever the configuration says; there is no admin listener.

Examples:
  bearerd exec bearerd.toml -- ./report.sh
  bearerd exec --env API_BASE={url}/v2 --timeout 2m -- java -jar job.jar
  bearerd exec -- sh -c 'curl -fsS \"$BEARERD_URL/items\"'

Exit codes: the command's own, 128+N if signal N ended it, 126 if it cannot be run, 127 if it is not found; before it is run: 1 not
ready in time, 2 wrong usage, 77 the token endpoint refused the credentials, 78 wrong configuration.";

/// How often it is looked whether it is ready.
const TICK: Duration = Duration::from_millis(20);

/// Run a command beside a bearerd of its own, and end with it
///
/// Listens on free ports, waits until every required credential has a token, runs the command, passes signals on, and ends with its
/// exit code: a Kubernetes Job needs nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct ExecArgs {
    /// How long the first tokens may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// A variable for the command, in which {url} is the first route's URL and {url.NAME} that of route NAME
    #[arg(long, value_name = "NAME=TEXT")]
    env: Vec<Template>,
    #[command(flatten)]
    config: ConfigArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What the process was started with.
pub(super) struct Given<'a> {
    /// All arguments, the program's name first.
    pub(super) arguments: &'a [OsString],
    pub(super) environment: Environment,
    pub(super) limits: Limits,
    /// What of [`crate::process::harden`] did not work.
    pub(super) unhardened: &'a [String],
}

/// Runs the command to its end. Its exit code, or one of those that the help names.
pub(super) fn run(args: &ExecArgs, given: Given<'_>) -> ExitCode {
    if let Some(code) = system::run_as_first(given.arguments, &given.limits) {
        return ExitCode::from(code);
    }
    // Listeners of our own are free ports, so that these are nobody's.
    drop(Inherited::take(&given.environment.announced()));
    let sources = match args.config.sources(given.environment) {
        Ok(sources) => sources,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    let mut settings = match config::load(&config::Sources { starts: true, ..sources.clone() }) {
        Ok(settings) => settings,
        Err(mistakes) => return complain(&args.config.explained(&mistakes, &sources), CONFIGURATION),
    };
    let routes = || settings.routes.iter().map(|route| route.route.name.as_str());
    let checks = args.env.iter().map(|template| template.check(routes()));
    if let Err(error) = std::iter::once(urls::check_names(routes())).chain(checks).collect::<Result<(), _>>() {
        return complain(&error, USAGE);
    }
    // The command's own output is what people want to see; debug shows the rest.
    let level = if settings.log.level == tracing::Level::INFO { tracing::Level::WARN } else { settings.log.level };
    log::init(&log::Settings { level, ..settings.log.clone() });
    for warning in given.unhardened.iter().chain(&settings.warnings) {
        tracing::warn!("{warning}");
    }
    let withheld = sources.environment.withheld(&settings.secret_variables).map(str::to_owned).collect();
    keep_to_this_machine(&mut settings);
    match run_beside(settings, args, withheld, &given.limits) {
        Ok(code) => ExitCode::from(code),
        Err(StartError::Inherited(mistakes)) => complain(&mistakes.to_string(), CONFIGURATION),
        Err(error) => {
            tracing::error!("{}{}", log::chain(&error), super::run::cure(&error));
            exit_code(&error)
        }
    }
}

/// A free port for each route, and nothing else to listen on. Nobody but the command calls, so that nobody need be told of the end.
fn keep_to_this_machine(settings: &mut Settings) {
    settings.listen.clear();
    settings.inherited.clear();
    settings.admin.listen = None;
    settings.admin.probe_listen = None;
    settings.timeouts.drain_delay = Duration::ZERO;
    for route in &mut settings.routes {
        route.listen = vec![ListenAddress::Localhost(0)];
        // It has a port of its own.
        route.route.host = None;
    }
}

fn run_beside(settings: Settings, args: &ExecArgs, withheld: Vec<String>, limits: &Limits) -> Result<u8, StartError> {
    let runtime = runtime::start()?;
    let code = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let is_secure = settings.tls.is_some();
        let paths: Vec<_> = settings.routes.iter().map(|route| route.route.path.clone()).collect();
        let app = App::start(settings, Inherited::default(), Clock::boot()).await?;
        let urls = Urls::new(app.bound(), &paths, is_secure);
        let code = match until_ready(&app, args.timeout, &mut signals).await {
            Ok(()) => {
                let command = child::command(&args.command, &withheld, urls.variables(&args.env));
                system::run(command, &mut signals, limits).await
            }
            Err(unready) => unready.complain(args.timeout),
        };
        tokio::select! {
            _ = app.drain() => {}
            _ = signals.next() => {}
        }
        Ok(code)
    });
    runtime.shutdown_background();
    code
}

/// Why the command is not run.
enum Unready {
    /// By a signal: the exit code that tells which.
    Interrupted(u8),
    /// Until the end of the time.
    TooLate(String),
    /// Nothing is planned that could change it within the time.
    Refused(String),
    /// The same for other reasons than the token endpoint's.
    Hopeless(String),
}

async fn until_ready(app: &App, timeout: Duration, signals: &mut Signals) -> Result<(), Unready> {
    let deadline = Instant::now() + timeout;
    loop {
        let (standing, statuses) = app.standing();
        if standing.ready {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(status) = statuses.iter().find(|status| is_hopeless(status, left)) {
            let why = status
                .last_error
                .as_ref()
                .map_or(standing.line, |error| format!("{} {}: {}", error.reason.code(), status.name, error.message));
            return Err(if is_refused(status) { Unready::Refused(why) } else { Unready::Hopeless(why) });
        }
        if left.is_zero() {
            let refused = statuses.iter().any(|status| status.required && !status.usable && is_refused(status));
            return Err(if refused { Unready::Refused(standing.line) } else { Unready::TooLate(standing.line) });
        }
        tokio::select! {
            () = sleep(TICK) => {}
            () = sleep_until(deadline) => {}
            signal = signals.next() => if let Some(code) = system::ended_by(signal) { return Err(Unready::Interrupted(code)) },
        }
    }
}

fn is_refused(status: &Status) -> bool {
    status.last_error.as_ref().is_some_and(|error| error.reason.is_refusal())
}

/// Whether a required credential gets no token within the time that is left, as far as is known.
fn is_hopeless(status: &Status, left: Duration) -> bool {
    let waits_too_long = status.next_fetch_in.is_some_and(|wait| wait > left);
    status.required && !status.usable && (status.latched || is_refused(status) && waits_too_long)
}

impl Unready {
    /// Says it, and returns the exit code.
    fn complain(self, timeout: Duration) -> u8 {
        let (text, code) = match self {
            Self::Interrupted(code) => return code,
            Self::TooLate(why) => (format!("within {}: {why}", humantime::format_duration(timeout)), 1),
            Self::Hopeless(why) => (format!("at all: {why}"), 1),
            Self::Refused(why) => (format!("at all: {why}"), REFUSED),
        };
        tracing::error!("the command is not run, because there is no token {text}");
        code
    }
}
