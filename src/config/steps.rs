//! `[[credentials.*.steps]]`: requests before the token request.

use super::reader::{Keys, Reader};
use super::shape::{self, Known};
use super::{response, value};
use crate::oauth::settings::Step;
use crate::reason::Reason;

pub(super) const KEYS: Keys = Keys {
    name: "[[credentials.NAME.steps]]",
    obeyed: &["name", "url", "allow_plain_http", "method", "encoding", "params", "headers", "expect_status"],
    later: &[],
    protective: &[],
};

/// More than any login takes.
const MOST: usize = 16;

/// The steps of a credential, and their names in order, of those too that have mistakes.
pub(super) fn read(credential: &Reader<'_>) -> (Vec<Step>, Vec<String>) {
    let (mut steps, mut names) = (Vec::new(), Vec::<String>::new());
    for reader in credential.tables("steps", &KEYS) {
        let shape = shape::read(&reader, "url", false, Known { steps: &names, ..Known::default() });
        let expect_status = response::expect_status(&reader);
        let Some(name) = name(&reader, &names) else { continue };
        names.push(name.clone());
        if let Some(shape) = shape {
            steps.push(Step { name, shape, expect_status });
        }
    }
    if names.len() > MOST {
        credential
            .wrong("steps", format!("must be at most {MOST}: all of them have one token_request's time together"));
    }
    (steps, names)
}

fn name(reader: &Reader<'_>, before: &[String]) -> Option<String> {
    if !reader.has("name") {
        reader.missing("name", "is required: messages and references call the step by it", "login");
        return None;
    }
    let parse = |text: &str| value::name(text).map(|()| text.to_owned());
    let name = reader.parsed("name", parse)?;
    if before.contains(&name) {
        reader.reject("name", Reason::ConfigContradiction, "is the name of an earlier step too");
    }
    Some(name)
}
