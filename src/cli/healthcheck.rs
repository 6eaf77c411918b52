//! `bearerd healthcheck`: exit code 0 or 1, for container probes in images without a shell.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::query::{self, Answer, QueryError};
use super::whom::Whom;
use crate::log::chain;

/// From the first address that is tried to the end of the answer.
const WITHIN: Duration = Duration::from_secs(2);

/// What is asked of which bearerd.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// The question.
    pub kind: Kind,
    /// Which bearerd.
    pub whom: Whom,
}

/// The question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Whether the process answers.
    Live,
    /// Whether it listens and the first token requests have been answered.
    Started,
    /// Whether every required credential has a usable token and nothing drains.
    #[default]
    Ready,
}

/// Asks, and says on standard error why not. 0 if it is well, 1 if not, 2 if the address is none.
pub fn run(args: &Args) -> ExitCode {
    match check(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            let _ = writeln!(io::stderr(), "{trouble}");
            ExitCode::from(if matches!(&trouble, Trouble::Query(error) if error.is_wrong_usage()) { 2 } else { 1 })
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{}", chain(.0))]
    Query(#[from] QueryError),
    #[error("not {}: {}", .0.word(), .1)]
    Unwell(Kind, String),
    #[error("GET {0} was answered with {1}: this is not bearerd's admin listener")]
    Stranger(&'static str, u16),
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Started => "/startupz",
            Self::Ready => "/readyz",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Started => "started",
            Self::Ready => "ready",
        }
    }
}

fn check(args: &Args) -> Result<(), Trouble> {
    let path = args.kind.path();
    let addresses = args.whom.targets()?;
    let answer = query::ask(&addresses, "GET", path, WITHIN)?;
    match answer.status {
        200 | 503 if !answers(&answer, args.kind) => Err(Trouble::Stranger(path, answer.status)),
        200 => Ok(()),
        503 => Err(Trouble::Unwell(args.kind, why(&answer))),
        status => Err(Trouble::Stranger(path, status)),
    }
}

/// Whether an answer is of a bearerd's admin or probe listener: a route's listener hands the question on to an API, which may say 200 to
/// anything.
pub(super) fn answers(answer: &Answer, kind: Kind) -> bool {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    body.get(kind.word()).is_some_and(Value::is_boolean)
}

/// The body of a 503 in one line.
pub(super) fn why(answer: &Answer) -> String {
    let Ok(body) = serde_json::from_str::<Value>(&answer.body) else {
        return "the answer does not say why".to_owned();
    };
    let is = |value: &Value, name: &str, wanted: bool| value.get(name).and_then(Value::as_bool) == Some(wanted);
    let mut reasons = Vec::new();
    if is(&body, "draining", true) {
        reasons.push("it is shutting down".to_owned());
    }
    for credential in list(&body, "credentials").filter(|c| is(c, "required", true) && is(c, "usable", false)) {
        let text = |pointer: &str| credential.pointer(pointer).and_then(Value::as_str);
        let said = text("/reason/message").or(text("/reason/title")).unwrap_or("no token");
        let code = text("/reason/code").unwrap_or_default();
        reasons.push(format!("{code} {}: {said}", text("/name").unwrap_or_default()));
    }
    for name in list(&body, "waiting_for").filter_map(Value::as_str) {
        reasons.push(format!("{name} waits for its first token"));
    }
    if reasons.is_empty() { "the answer does not say why".to_owned() } else { reasons.join("; ") }
}

fn list<'a>(body: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    body.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::query::tests::answering;
    use super::*;

    #[test]
    fn the_exit_says_whether_it_is_well_and_the_message_why_not() {
        let check = |kind: Kind, status: u16, body: &str, wanted: Result<(), &str>| {
            let (address, asked) = answering(&format!("HTTP/1.1 {status} X\r\n\r\n{body}"));
            let result =
                check(&Args { kind, whom: Whom::at(address.to_string()) }).map_err(|trouble| trouble.to_string());
            assert_eq!(result, wanted.map_err(str::to_owned), "{status} {body}");
            assert!(asked.join().unwrap().starts_with(&format!("GET {} ", kind.path())));
        };
        check(Kind::Ready, 200, r#"{"ready":true}"#, Ok(()));
        check(Kind::Live, 200, r#"{"live":true,"ready":false}"#, Ok(()));
        check(Kind::Started, 200, r#"{"started":true}"#, Ok(()));
        let waiting = r#"{"started":false,"waiting_for":["a"]}"#;
        check(Kind::Started, 503, waiting, Err("not started: a waits for its first token"));
        check(Kind::Ready, 503, r#"{"ready":false,"draining":true}"#, Err("not ready: it is shutting down"));
        let body = r#"{"ready":false,"draining":false,"credentials":[
            {"name":"a","required":true,"usable":false,"reason":{"code":"T021","title":"t","message":"refused (401)"}},
            {"name":"b","required":true,"usable":false,"reason":{"code":"T001","title":"no token yet"}},
            {"name":"c","required":false,"usable":false,"reason":{"code":"T021","title":"t"}},
            {"name":"d","required":true,"usable":true}]}"#;
        check(Kind::Ready, 503, body, Err("not ready: T021 a: refused (401); T001 b: no token yet"));
        check(Kind::Ready, 503, r#"{"ready":false}"#, Err("not ready: the answer does not say why"));
        // Of an API behind a route, or of anybody.
        for body in ["", "{}", "<html>", r#"{"status":"ready"}"#, r#"{"live":true}"#] {
            check(
                Kind::Ready,
                200,
                body,
                Err("GET /readyz was answered with 200: this is not bearerd's admin listener"),
            );
            check(
                Kind::Ready,
                503,
                body,
                Err("GET /readyz was answered with 503: this is not bearerd's admin listener"),
            );
        }
        let stranger = "GET /readyz was answered with 404: this is not bearerd's admin listener";
        check(Kind::Ready, 404, "", Err(stranger));
    }

    #[test]
    fn an_address_that_is_none_is_wrong_usage() {
        let code = run(&Args { kind: Kind::Ready, whom: Whom::at("off") });
        assert_eq!(code, ExitCode::from(2));
    }
}
