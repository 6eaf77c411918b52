//! `bearerd status`: how a running bearerd stands, as tables in a terminal.
//!
//! Owns the asking, the repeating and the exit code; what the tables show is `tables`'. Asks `/status` of the admin listener and shows
//! nothing else.

mod paint;
mod tables;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::query::{self, QueryError, Target};
use crate::config::Environment;
use crate::log::chain;
use crate::reason::Reason;
use paint::Paint;

/// From the first address that is tried to the end of the answer.
const WITHIN: Duration = Duration::from_secs(5);
/// Below this a terminal shows nothing that could be read.
const SHORTEST: Duration = Duration::from_millis(100);

const HELP: &str = "\
Exit codes: 0 it is ready, 1 it is not ready or cannot be reached, 2 wrong usage.
Colours only on a terminal, and not with NO_COLOR set.

Examples:
  bearerd status                        once
  bearerd status --watch                again every 2 s, until Ctrl-C
  bearerd status --json | jq .ready     for scripts";

/// Show how a running bearerd stands
///
/// Credentials with the life of their tokens and their last errors, routes with their traffic within the last minute, what was
/// refused, certificates, the configuration: what the status page at http://localhost:9180/ shows.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct StatusArgs {
    /// Show it again and again: every 2 s, or as often as written (500ms, 10s)
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "2s",
          value_parser = interval)]
    watch: Option<Duration>,
    /// Print what /status says, as JSON
    #[arg(long, conflicts_with = "watch")]
    json: bool,
    #[command(flatten)]
    admin: super::AdminArgs,
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time >= SHORTEST => Ok(time),
        Ok(_) => Err(format!("must be at least {SHORTEST:?}")),
        Err(_) => Err("must be a duration such as 2s or 500ms".to_owned()),
    }
}

/// Asks and shows. 0 if it is ready, 1 if not or if there is no answer, 2 if the address is none.
pub(super) fn run(args: StatusArgs, environment: Environment, no_color: bool) -> ExitCode {
    let addresses = match args.admin.whom(environment, false).targets() {
        Ok(addresses) => addresses,
        Err(error) => return complain(&Trouble::Query(error)),
    };
    let paint = Paint::new(io::stdout().is_terminal() && !no_color);
    match args.watch {
        Some(every) => watch(&addresses, every, paint),
        None => once(&addresses, args.json, paint),
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{}", chain(.0))]
    Query(#[from] QueryError),
    #[error("{0}")]
    Refused(String),
    #[error("what answers there is not the admin listener of a bearerd that has /status")]
    Stranger,
}

fn once(addresses: &[Target], json: bool, paint: Paint) -> ExitCode {
    match ask(addresses) {
        Ok((text, status)) => {
            let shown = if json { text } else { tables::render(&status, paint) };
            // Whoever reads it may have read enough.
            let _ = io::stdout().write_all(shown.as_bytes());
            if is_ready(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(trouble) => complain(&trouble),
    }
}

/// Until it is interrupted, or nobody reads any more. The screen is written in one piece, so that it does not flicker.
#[expect(clippy::disallowed_methods, reason = "there is no runtime, and nothing else to do")]
fn watch(addresses: &[Target], every: Duration, paint: Paint) -> ExitCode {
    let is_screen = io::stdout().is_terminal();
    let mut last: Option<Value> = None;
    loop {
        let mut shown = match ask(addresses) {
            Ok((_, status)) => tables::render(last.insert(status), paint),
            Err(trouble) => {
                let before = last
                    .as_ref()
                    .map(|status| format!("\nBefore that:\n\n{}", tables::render(status, Paint::new(false))));
                format!("{}\n{}", paint.bad(&trouble.to_string()), before.unwrap_or_default())
            }
        };
        if is_screen {
            // Home, each line to its end, and the rest of the screen: nothing is blank in between.
            shown = format!("\x1b[H{}\x1b[J", shown.replace('\n', "\x1b[K\n"));
        }
        let mut out = io::stdout();
        if out.write_all(shown.as_bytes()).and_then(|()| out.flush()).is_err() {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(every);
    }
}

fn ask(addresses: &[Target]) -> Result<(String, Value), Trouble> {
    let answer = query::ask(addresses, "GET", "/status", WITHIN)?;
    if answer.status != 200 {
        return Err(if is_ours(&answer.body) { Trouble::Refused(answer.body) } else { Trouble::Stranger });
    }
    let status: Value = serde_json::from_str(&answer.body).map_err(|_| Trouble::Stranger)?;
    if status.get("ready").is_none() { Err(Trouble::Stranger) } else { Ok((answer.body, status)) }
}

/// Whether a refusal is in a bearerd's words, which begin with a reason code.
fn is_ours(body: &str) -> bool {
    body.split([' ', ':']).next().is_some_and(|word| word.parse::<Reason>().is_ok())
}

fn is_ready(status: &Value) -> bool {
    status.get("ready").and_then(Value::as_bool).unwrap_or(false)
}

fn complain(trouble: &Trouble) -> ExitCode {
    let _ = writeln!(io::stderr(), "{}", trouble.to_string().trim_end());
    ExitCode::from(if matches!(trouble, Trouble::Query(error) if error.is_wrong_usage()) { 2 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::super::query::tests::answering;
    use super::*;

    #[test]
    fn only_a_ready_bearerd_is_a_success() {
        let check = |status: u16, body: &str, wanted: Result<bool, &str>| {
            let (address, asked) = answering(&format!("HTTP/1.1 {status} X\r\n\r\n{body}"));
            let found = ask(&[Target::Tcp(address)]).map(|(_, status)| is_ready(&status));
            assert!(asked.join().unwrap().starts_with("GET /status HTTP/1.1\r\n"));
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{body}"),
                (Err(trouble), Err(wanted)) => assert!(trouble.to_string().contains(wanted), "{trouble}"),
                (found, wanted) => panic!("{found:?}, not {wanted:?}"),
            }
        };
        check(200, r#"{"ready":true}"#, Ok(true));
        check(200, r#"{"ready":false}"#, Ok(false));
        check(200, "<html>", Err("not the admin listener"));
        check(200, "{}", Err("not the admin listener"));
        check(404, "", Err("not the admin listener"));
        check(421, "C003 Host", Err("C003 Host"));
        check(403, "<html>Forbidden", Err("not the admin listener"));
        check(401, r#"{"error":"unauthorized"}"#, Err("not the admin listener"));
    }

    #[test]
    fn an_interval_is_a_duration_that_can_be_read() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert!(interval("0s").is_err() && interval("soon").is_err());
    }
}
