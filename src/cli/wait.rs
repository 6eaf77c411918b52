//! `bearerd wait`: until a bearerd that runs beside us is ready. For start scripts, and for images that have a shell but no patience.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::healthcheck::{self, Kind};
use super::query::{self, Answer, Target};
use super::whom::Whom;
use super::{REFUSED, USAGE};
use crate::clock::Clock;
use crate::log::chain;
use crate::reason::Reason;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// The most that one question takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// For which bearerd, and for how long.
#[derive(Clone, Debug)]
pub struct Args {
    /// How long to wait.
    pub timeout: Duration,
    /// Which bearerd.
    pub whom: Whom,
}

/// Waits. 0 once it is ready; at the end of the time 77 if a token endpoint refuses the credentials, else 1; 2 if the address is none.
pub fn run(args: &Args) -> ExitCode {
    let addresses = match args.whom.targets() {
        Ok(addresses) => addresses,
        Err(error) => return complain(&chain(&error), if error.is_wrong_usage() { USAGE } else { 1 }),
    };
    match wait(&addresses, args.timeout) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Unready { why, refused }) => {
            let limit = humantime::format_duration(args.timeout);
            complain(&format!("not ready within {limit}: {why}"), if refused { REFUSED } else { 1 })
        }
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(code)
}

/// What stood in the way at the last look.
struct Unready {
    why: String,
    /// Whether a token endpoint refuses what it is asked with.
    refused: bool,
}

fn wait(addresses: &[Target], timeout: Duration) -> Result<(), Unready> {
    let clock = Clock::boot();
    let deadline = clock.now() + timeout;
    loop {
        let left = deadline.since(clock.now());
        let unready = match query::ask(addresses, "GET", "/readyz", left.min(PATIENCE).max(PAUSE)) {
            Ok(answer) if !healthcheck::answers(&answer, Kind::Ready) => {
                let why =
                    format!("GET /readyz was answered with {}: this is not bearerd's admin listener", answer.status);
                Unready { why, refused: false }
            }
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => Unready { why: healthcheck::why(&answer), refused: is_refused(&answer) },
            // It may not listen yet.
            Err(error) => Unready { why: chain(&error), refused: false },
        };
        if deadline.since(clock.now()) <= PAUSE {
            return Err(unready);
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Whether a required credential has no token because its endpoint refuses it.
fn is_refused(answer: &Answer) -> bool {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let credentials = body.get("credentials").and_then(Value::as_array).into_iter().flatten();
    let is = |value: &Value, name: &str, wanted: bool| value.get(name).and_then(Value::as_bool) == Some(wanted);
    credentials
        .filter(|credential| is(credential, "required", true) && is(credential, "usable", false))
        .filter_map(|credential| credential.pointer("/reason/code")?.as_str()?.parse().ok())
        .any(Reason::is_refusal)
}

#[cfg(test)]
mod tests {
    use super::super::query::tests::answering;
    use super::*;

    fn outcome(answer: &str) -> Result<(), (String, bool)> {
        let (address, asked) = answering(answer);
        let waited = wait(&[Target::Tcp(address)], Duration::from_millis(90));
        asked.join().unwrap();
        waited.map_err(|unready| (unready.why, unready.refused))
    }

    #[test]
    fn the_end_says_what_stood_in_the_way() {
        assert_eq!(outcome("HTTP/1.1 200 OK\r\n\r\n{\"ready\":true}"), Ok(()));
        let unready = |code: &str| {
            let credential =
                format!(r#"{{"name":"a","required":true,"usable":false,"reason":{{"code":"{code}","title":"t"}}}}"#);
            outcome(&format!("HTTP/1.1 503 X\r\n\r\n{{\"ready\":false,\"credentials\":[{credential}]}}"))
        };
        assert_eq!(unready("T021"), Err(("T021 a: t".to_owned(), true)));
        assert_eq!(unready("T010"), Err(("T010 a: t".to_owned(), false)));
        let stranger = outcome("HTTP/1.1 200 OK\r\n\r\n<html>").unwrap_err().0;
        assert!(stranger.contains("not bearerd's admin listener"), "{stranger}");
    }

    #[test]
    fn nobody_there_is_said_so() {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let unready = wait(&[Target::Tcp(gone)], Duration::from_millis(10)).unwrap_err();
        assert!(unready.why.contains("cannot reach bearerd's admin listener") && !unready.refused, "{}", unready.why);
    }
}
