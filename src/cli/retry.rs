//! `bearerd retry NAME`: a latched or waiting credential of a running bearerd asks again.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::query::{self, QueryError};
use super::whom::Whom;
use crate::log::chain;

/// From the first address that is tried to the end of the answer, which does not wait for the token endpoint.
const WITHIN: Duration = Duration::from_secs(5);

/// Which credential of which bearerd.
#[derive(Clone, Debug)]
pub struct Args {
    /// The credential's name.
    pub name: String,
    /// Which bearerd.
    pub whom: Whom,
}

/// Asks, and prints what the running bearerd says to it. 0 if it did so, 1 if not, 2 if the address is none.
pub fn run(args: &Args) -> ExitCode {
    match retry(args) {
        Ok(text) => {
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            let _ = writeln!(io::stderr(), "{}", trouble.to_string().trim_end());
            ExitCode::from(if matches!(&trouble, Trouble::Query(error) if error.is_wrong_usage()) { 2 } else { 1 })
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{}", chain(.0))]
    Query(#[from] QueryError),
    /// In the words of the running bearerd.
    #[error("{0}")]
    Refused(String),
}

fn retry(args: &Args) -> Result<String, Trouble> {
    let addresses = args.whom.targets()?;
    let path = format!("/retry/{}", utf8_percent_encode(&args.name, NON_ALPHANUMERIC));
    let answer = query::ask(&addresses, "POST", &path, WITHIN)?;
    if answer.status == 200 { Ok(answer.body) } else { Err(Trouble::Refused(answer.body)) }
}

#[cfg(test)]
mod tests {
    use super::super::query::tests::answering;
    use super::*;

    #[test]
    fn what_the_running_bearerd_says_is_passed_on() {
        let check = |name: &str, status: u16, wanted_path: &str| {
            let (address, asked) = answering(&format!("HTTP/1.1 {status} X\r\n\r\nits words\n"));
            let result = retry(&Args { name: name.to_owned(), whom: Whom::at(address.to_string()) });
            assert!(asked.join().unwrap().starts_with(&format!("POST {wanted_path} HTTP/1.1\r\n")), "{name}");
            match result {
                Ok(text) => assert_eq!((status, text.as_str()), (200, "its words\n")),
                Err(trouble) => {
                    assert_ne!(status, 200);
                    assert_eq!(trouble.to_string(), "its words\n");
                }
            }
        };
        check("api", 200, "/retry/api");
        check("api", 404, "/retry/api");
        check("a b/../c\r\nX: y", 404, "/retry/a%20b%2F%2E%2E%2Fc%0D%0AX%3A%20y");
    }
}
