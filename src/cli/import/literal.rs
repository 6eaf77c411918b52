//! What a literal in a line of documentation is: a secret, a placeholder, or a value to be taken as it is.
//!
//! Owns the rule that no secret is ever copied into a configuration: whatever stands where a secret belongs becomes a file or a
//! variable. Guesses on the safe side: a value that might be one is treated as one.

use super::draft::{Needed, Value};
use super::marks::{self, Reference};
use super::shell::{At, is_name};

/// Names, or ends of names, of fields whose values are secret.
const SECRET_ENDS: &[&str] = &[
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pass",
    "code",
    "auth",
    "jwt",
    "token",
    "assertion",
    "key",
    "apikey",
    "credential",
    "credentials",
    "otp",
    "totp",
    "pin",
    "pwd",
    "cookie",
    "authorization",
    "signature",
    "hash",
];

/// Words that make the whole name one of a secret, wherever in it they stand: `sid`, `X-Auth`, `auth_code`.
const SECRET_WORDS: &[&str] = &[
    "answer",
    "auth",
    "bearer",
    "clave",
    "code",
    "contrasena",
    "hmac",
    "jwt",
    "kennwort",
    "licence",
    "license",
    "mfa",
    "otp",
    "parola",
    "pass",
    "passe",
    "pin",
    "pw",
    "saml",
    "senha",
    "sess",
    "session",
    "sid",
    "sig",
    "ticket",
    "totp",
];

/// And what does so even within a word: `secretId`, `PHPSESSID`, `sessionid`.
const SECRET_PIECES: &[&str] = &["secret", "passw", "session", "sessid"];

/// Words that documentation writes instead of values.
const PLACEHOLDER_WORDS: &[&str] = &[
    "your",
    "example",
    "placeholder",
    "replace",
    "changeme",
    "change-me",
    "insert",
    "xxx",
    "***",
    "...",
    "…",
    "dummy",
    "sample",
    "todo",
    "<",
    "{",
    "[",
];

/// And words that are nothing but placeholders when they are the whole value.
const PLACEHOLDER_VALUES: &[&str] = &[
    "string",
    "secret",
    "password",
    "username",
    "client_id",
    "client_secret",
    "clientid",
    "clientsecret",
    "client-id",
    "client-secret",
    "token",
    "value",
    "test",
    "user",
    "id",
    "consumer-key",
    "consumer-secret",
    "my-password",
];

/// Whether a field or header of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let ends = SECRET_ENDS.iter().any(|end| lower.ends_with(end));
    let is_public = lower.ends_with("public_key") || lower.ends_with("public-key");
    SECRET_PIECES.iter().any(|piece| lower.contains(piece))
        || words(name).iter().any(|word| SECRET_WORDS.contains(&word.as_str()))
        || ends && !is_public
}

/// The words of a name in lower case: `X-Auth`, `auth_code`, `authCode` and `auth2` all have `auth`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        let begins = character.is_ascii_uppercase() && was_lower;
        was_lower = character.is_ascii_lowercase();
        if begins || !character.is_ascii_alphabetic() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character.is_ascii_alphabetic()) {
            word.push(character.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a value stands for one that the reader has to know.
pub(super) fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let is_shouted = value.len() > 2
        && value.contains('_')
        && value.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    is_shouted
        || variable_of(value).is_some()
        || PLACEHOLDER_WORDS.iter().any(|word| lower.contains(word))
        || PLACEHOLDER_VALUES.contains(&lower.as_str())
}

/// Whether a value is a placeholder beyond doubt, so that it may be shown where a secret may not.
pub(super) fn is_surely_placeholder(value: &str) -> bool {
    let bracketed = [("<", ">"), ("{{", "}}"), ("{", "}"), ("[", "]")]
        .iter()
        .find_map(|(open, close)| value.strip_prefix(open)?.strip_suffix(close));
    let inner = bracketed.unwrap_or(value);
    let lower = inner.to_ascii_lowercase();
    let is_of_words = inner.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' '));
    let joined =
        inner.contains('_') && ["your", "replace", "insert", "example"].iter().any(|word| lower.contains(word));
    let is_shouted = inner.contains('_') && !inner.chars().any(|c| c.is_ascii_lowercase());
    is_of_words && (bracketed.is_some() || joined || is_shouted || PLACEHOLDER_VALUES.contains(&lower.as_str()))
}

/// Whether a value looks as if a machine had made it to be secret.
pub(super) fn looks_random(value: &str) -> bool {
    let is_of_a_key = |c: char| c.is_ascii_alphanumeric() || "-_+/=.~".contains(c);
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let letters = value.chars().filter(char::is_ascii_alphabetic).count();
    let is_uuid = value.len() == 36 && value.chars().filter(|c| *c == '-').count() == 4;
    value.len() >= 20
        && value.chars().all(is_of_a_key)
        && digits >= 3
        && letters >= 3
        && !is_uuid
        && !is_placeholder(value)
}

/// `%NAME%` of Windows, and `$NAME` where quotes kept the shell from it.
fn variable_of(value: &str) -> Option<&str> {
    let windows = value.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
    let braced = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    windows.or(braced).or_else(|| value.strip_prefix('$')).filter(|name| is_name(name))
}

/// What is written for a value that is secret, and what has to be done for it. `path` is the file for it.
pub(super) fn secret(value: &str, what: &str, path: &str, at: At) -> (Value, String, Needed) {
    let variable = match marks::whole(value) {
        Some(Reference::File(path)) => {
            let needed = Needed::File { path: path.to_owned(), what: what.to_owned() };
            return (Value::File(path.to_owned()), format!("the {what} is read from this file"), needed);
        }
        Some(Reference::Variable(name)) => Some(name),
        None => variable_of(value),
    };
    if let Some(name) = variable {
        let needed = Needed::Variable { name: name.to_owned(), what: what.to_owned() };
        return (Value::Variable(name.to_owned()), format!("the {what}, as ${name} of the curl line"), needed);
    }
    if marks::has_marks(value) {
        let is_shown = marks::pieces(value).iter().all(|(piece, is_mark)| *is_mark || is_scheme(piece));
        let words = match is_shown {
            true => format!(": {}", marks::shown(value)),
            false => format!(": the text with a variable or file in it at {at} of the curl line, not shown here"),
        };
        return file(what, path, &words);
    }
    if value.is_empty() {
        return file(what, path, "; the curl line leaves it empty");
    }
    if is_surely_placeholder(value) {
        return file(what, path, &format!(", instead of {value} of the curl line"));
    }
    let count = value.chars().count();
    file(what, path, &format!(": the {count} characters at {at} of the curl line, not shown here"))
}

/// What stands beside a variable in `Bearer $TOKEN` and `$ID:$SECRET`; any other text may be half of a secret.
fn is_scheme(piece: &str) -> bool {
    let word = piece.trim_matches(|c: char| c.is_whitespace() || c == ':' || marks::is_private(c)).to_ascii_lowercase();
    ["", "apikey", "basic", "bearer", "key", "token"].contains(&word.as_str())
}

/// Whether a value is one variable or file.
pub(super) fn is_reference(value: &str) -> bool {
    marks::whole(value).is_some() || variable_of(value).is_some()
}

/// A file for it, and why.
pub(super) fn file(what: &str, path: &str, words: &str) -> (Value, String, Needed) {
    let comment = format!("put the {what} into this file{words}");
    (Value::File(path.to_owned()), comment, Needed::File { path: path.to_owned(), what: what.to_owned() })
}

/// What is written for a value that may stand in a configuration, and may come from a variable or a file.
pub(super) fn open(value: &str, what: &str) -> (Value, Option<String>, Option<Needed>) {
    let variable = |name: &str| {
        let needed = Needed::Variable { name: name.to_owned(), what: what.to_owned() };
        (Value::Variable(name.to_owned()), None, Some(needed))
    };
    match marks::whole(value) {
        Some(Reference::Variable(name)) => return variable(name),
        Some(Reference::File(path)) => {
            let needed = Needed::File { path: path.to_owned(), what: what.to_owned() };
            return (Value::File(path.to_owned()), None, Some(needed));
        }
        None => {}
    }
    match variable_of(value) {
        Some(name) => variable(name),
        None => {
            let (text, comment, needed) = plain(value, what);
            (Value::Text(text), comment, needed)
        }
    }
}

/// What is written for a value that can only be a text.
pub(super) fn plain(value: &str, what: &str) -> (String, Option<String>, Option<Needed>) {
    let shown = marks::shown(value);
    if marks::has_marks(value) || is_placeholder(value) {
        let edit = Needed::Edit { what: format!("{what} = {shown:?}") };
        return (shown.clone(), Some(format!("REPLACE {shown}: the {what}")), Some(edit));
    }
    (shown, None, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in ["client_secret", "password", "X-Api-Key", "Ocp-Apim-Subscription-Key", "Cookie", "refresh_token"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "secret_id",
            "roleSecretId",
            "pass",
            "auth",
            "X-Auth",
            "sid",
            "session",
            "PHPSESSID",
            "sig",
            "authCode",
            "code",
            "login_jwt",
            "x-authcode",
            "pass2",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["author", "compass_id", "decoder", "passenger_count", "side", "significance", "tenant"] {
            assert!(!is_secret_name(name), "{name}");
        }
        for name in ["client_id", "token_format", "subject_token_type", "company_name", "key_id", "public_key", "scope"]
        {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn placeholders_are_told_from_values() {
        for value in [
            "YOUR_CLIENT_ID",
            "<secret>",
            "{client_secret}",
            "Replace_Password_Here",
            "xxxx",
            "string",
            "CLIENT_SECRET",
            "%X%",
            "example",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["hunter2", "8A4BE698BCA216718ECB", "openid profile", "https://graph.microsoft.com/.default", "5"]
        {
            assert!(!is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn what_a_machine_made_is_told_from_what_a_person_wrote() {
        assert!(looks_random("8A4BE698BCA216718ECB0B1DCA294C69732EAD94"));
        for value in
            ["openid", "123e4567-e89b-12d3-a456-426614174000", "https://api.example.com/items/1234", "Example GmbH"]
        {
            assert!(!looks_random(value), "{value}");
        }
    }

    #[test]
    fn no_secret_is_ever_written() {
        let at = At::Text { line: 1, column: 9 };
        let check = |value: &str, written: &str, comment: &str| {
            let (got, said, _) = secret(value, "client secret", "secrets/a", at);
            assert_eq!(got.to_toml(), written);
            assert!(said.contains(comment), "{said}");
        };
        check(&marks::variable("S"), "{ env = \"S\" }", "$S");
        check("$S", "{ env = \"S\" }", "$S");
        check(&marks::file("/run/s"), "{ file = \"/run/s\" }", "read from this file");
        check("<your secret>", "{ file = \"secrets/a\" }", "instead of <your secret>");
        check("x<9your_example", "{ file = \"secrets/a\" }", "the 15 characters at column 9");
        check("YOUR_SECRET", "{ file = \"secrets/a\" }", "instead of YOUR_SECRET");
        check("hunter2hunter2", "{ file = \"secrets/a\" }", "the 14 characters at column 9");
        let (_, said, _) = secret("hunter2hunter2", "client secret", "secrets/a", at);
        assert!(!said.contains("hunter2"), "{said}");
    }
}
