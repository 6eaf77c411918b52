//! What a failure means: whether the server cannot be reached, will not, or makes no sense.
//!
//! Owns the one line in which it is said. What the server says of a password is never repeated (see [`super::dial`]).

use std::error::Error;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use crate::store::backend::StoreError;
use crate::tls;

/// The longest line that is repeated of a server.
const LONGEST: usize = 160;

/// Codes that a script's error may hide behind `ERR` (Redis before 7).
const HIDDEN: [&str; 8] =
    ["WRONGTYPE ", "OOM ", "READONLY ", "MISCONF ", "NOPERM ", "NOREPLICAS ", "CLUSTERDOWN ", "MASTERDOWN "];

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no connection.
    Link(StoreError),
    /// The connection broke, or the server said so.
    Answer(RedisError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Link(error)
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Link(error) => error,
            Trouble::Answer(error) => of(&error),
        }
    }
}

/// What a missing right is called inside a script, where it has no code of its own.
const NO_RIGHT: &str = "The user executing the script can't";

/// The class of an error.
pub(super) fn of(error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            server(error.code().unwrap_or("ERR"), error.detail().unwrap_or_default())
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            StoreError::Nonsense("this is not how a Redis answers".to_owned())
        }
        ErrorKind::RESP3NotSupported => StoreError::Refused("it is older than Redis 6 (no HELLO)".to_owned()),
        _ => StoreError::Unreachable(line(&tls_cause(error).map_or_else(|| error.to_string(), tls::explain))),
    }
}

/// What TLS said: servers refuse a client's certificate after the handshake (RFC 8446 §4.4.2.4).
fn tls_cause(error: &RedisError) -> Option<&rustls::Error> {
    // The library's source is the pointer, not the error that it points to.
    let pointer: &Arc<dyn Error + Send + Sync> = error.source()?.downcast_ref()?;
    tls::cause(&**pointer)
}

/// The class of an error that the server said itself: `-CODE text`.
pub(super) fn server(code: &str, text: &str) -> StoreError {
    let (code, text) = uncovered(code, text);
    match code {
        "NONSENSE" => StoreError::Nonsense(line(text)),
        "WRONGTYPE" => {
            StoreError::Nonsense("a key of this name holds something that bearerd never put there".to_owned())
        }
        _ => StoreError::Refused(line(format!("{code} {text}").trim())),
    }
}

/// Whether the server says that it is not the master of what it was asked for, or no longer knows us: a new connection may lead to one that is.
pub(super) fn is_over(error: &RedisError) -> bool {
    let (code, _) = uncovered(error.code().unwrap_or_default(), error.detail().unwrap_or_default());
    matches!(code, "READONLY" | "MASTERDOWN" | "NOAUTH")
}

/// Its code and text, without what Redis before 7 wraps around them and what later ones add: both name the script, which helps nobody.
fn uncovered<'a>(code: &'a str, text: &'a str) -> (&'a str, &'a str) {
    let text = text.split_once(" script: ").map_or(text, |(said, _)| said);
    if code == "ERR"
        && let Some(at) = text.find(NO_RIGHT)
    {
        return ("NOPERM", text.get(at..).unwrap_or(text));
    }
    if code != "ERR" || !text.contains("@user_script") {
        return (code, text);
    }
    let hidden = HIDDEN.iter().filter_map(|known| text.find(known)).min();
    match hidden.and_then(|at| text.get(at..)).and_then(|rest| rest.split_once(' ')) {
        Some((code, text)) => (code, text),
        None => (code, text),
    }
}

/// As one line of a length that can be read.
pub(super) fn line(text: &str) -> String {
    let mut line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn said(line: &str) -> RedisError {
        match parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap() {
            Value::ServerError(error) => error.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_refusal_is_one_readable_line() {
        let check = |answer: &str, wanted: &str| {
            let error = of(&said(answer));
            assert_eq!(error, StoreError::Refused(wanted.to_owned()), "{answer}");
        };
        check("NOAUTH Authentication required.", "NOAUTH Authentication required.");
        check(
            "NOPERM User bearerd has no permissions to run the 'evalsha' command",
            "NOPERM User bearerd has no permissions to run the 'evalsha' command",
        );
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        check(full, full);
        check(&format!("{full} script: 0123abc, on @user_script:7."), full);
        check(&format!("ERR Error running script (call to f_0123abc): @user_script:7: @user_script: 7: {full}"), full);
        check(
            "READONLY You can't write against a read only replica.",
            "READONLY You can't write against a read only replica.",
        );
        check("LOADING Redis is loading the dataset in memory", "LOADING Redis is loading the dataset in memory");
        check("CLUSTERDOWN The cluster is down", "CLUSTERDOWN The cluster is down");
        check("MISCONF Redis is configured to save RDB snapshots", "MISCONF Redis is configured to save RDB snapshots");
        check("ERR max number of clients reached", "ERR max number of clients reached");
        check("BUSY", "BUSY");
        let no_right = "The user executing the script can't run this command or subcommand";
        check(&format!("ERR {no_right} script: 0123abc, on @user_script:7."), &format!("NOPERM {no_right}"));
        check(
            &format!("ERR Error running script (call to f_0): @user_script:7: {no_right}"),
            &format!("NOPERM {no_right}"),
        );
    }

    #[test]
    fn keys_of_somebody_else_are_nonsense() {
        let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
        for answer in [
            wrong.to_owned(),
            format!("{wrong} script: 0123abc, on @user_script:7."),
            format!("ERR Error running script (call to f_0123abc): @user_script:7: {wrong}"),
            "NONSENSE the entry has a form that bearerd never gave it".to_owned(),
        ] {
            assert!(matches!(of(&said(&answer)), StoreError::Nonsense(_)), "{answer}");
        }
        let parse = parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err();
        assert!(matches!(of(&parse), StoreError::Nonsense(_)), "{parse}");
    }

    #[test]
    fn a_server_that_is_no_master_is_left_and_a_full_one_is_not() {
        let script = "ERR Error running script (call to f_0): @user_script:7: READONLY You can't write";
        for over in
            ["READONLY You can't write against a read only replica.", script, "MASTERDOWN Link with MASTER is down"]
        {
            assert!(is_over(&said(over)), "{over}");
        }
        for not in ["OOM command not allowed", "NOPERM no", "ERR READONLY", "MOVED 1 127.0.0.1:1"] {
            assert!(!is_over(&said(not)), "{not}");
        }
    }

    #[test]
    fn lines_are_cut_and_hold_no_control_characters() {
        let long = line(&format!("a\u{1b}[31m\nb{}", "é".repeat(1000)));
        assert!(long.starts_with("a [31m b") && long.chars().count() == LONGEST + 1, "{long}");
    }
}
