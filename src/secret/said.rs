//! What a command wrote to its standard error, made fit to be shown.
//!
//! A command that hands out secrets may well print one in a complaint, and nobody knows which word it is. So this owns a rule that would
//! rather hide too much: what the command is known to hand out is hidden, and so is the value of whatever is called a secret, and so is
//! every word that looks more like a key than like a word. The rest becomes one short line.

use zeroize::Zeroizing;

/// How many characters are shown.
const SHOWN: usize = 200;
const MASK: &str = "***";
/// The shortest part of a known secret that is looked for.
const SHORTEST: usize = 4;

/// Words whose neighbour is a secret: `password: x`, `token=x`, `Bearer x`.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "key",
    "apikey",
    "credential",
    "credentials",
    "authorization",
    "cookie",
];

/// One line of at most 200 characters; empty if there is nothing to say. `known` are texts that must not be shown.
pub(super) fn shown(text: &[u8], known: &[&str]) -> String {
    let text = Zeroizing::new(String::from_utf8_lossy(text).into_owned());
    // A traceback says last what happened.
    let text: &str = match text.trim().strip_prefix("Traceback (most recent call last)") {
        Some(traceback) => traceback.lines().last().unwrap_or_default(),
        None => text.trim(),
    };
    let Some(text) = without(text, known) else {
        return "withheld, because the output is too short to be hidden in it".to_owned();
    };
    let mut line = String::new();
    let mut words = text.split_whitespace().peekable();
    let mut hides_next = false;
    while let Some(word) = words.next() {
        let (word, hides) = masked(word, hides_next);
        hides_next = hides;
        for c in word.chars() {
            if line.chars().count() >= SHOWN {
                line.push('…');
                return line;
            }
            match c {
                '"' => line.push('\''),
                c if c.is_control() || is_invisible(c) => line.extend(c.escape_unicode()),
                c => line.push(c),
            }
        }
        if words.peek().is_some() {
            line.push(' ');
        }
    }
    line
}

/// The text without any line, string or whole of what is known. `None` if a piece is too short to be told from a word.
fn without(text: &str, known: &[&str]) -> Option<Zeroizing<String>> {
    let mut text = Zeroizing::new(text.to_owned());
    for known in known.iter().filter(|known| !known.trim().is_empty()) {
        if known.trim().chars().count() < SHORTEST {
            return None;
        }
        let pieces = known.split(['\n', '"', '\r']).map(str::trim).filter(|piece| piece.chars().count() >= SHORTEST);
        for piece in std::iter::once(known.trim()).chain(pieces) {
            text = Zeroizing::new(text.replace(piece, MASK));
        }
    }
    Some(text)
}

/// A word as it may be shown, and whether the next one must not be.
fn masked(word: &str, is_value: bool) -> (String, bool) {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    if is_value {
        // `password: "x"` hides x; `Authorization: Bearer x` hides both.
        return (MASK.to_owned(), is_scheme(bare));
    }
    if let Some((name, value)) = word.split_once(['=', ':']).filter(|(name, _)| is_secrets_name(name)) {
        let separator = word.get(name.len()..=name.len()).unwrap_or("=");
        return match value.trim_matches(['\'', '"']) {
            "" => (word.to_owned(), true),
            value => (format!("{name}{separator}{MASK}"), is_scheme(value)),
        };
    }
    if looks_like_a_key(word) || word.contains('@') && word.contains("://") {
        return (MASK.to_owned(), false);
    }
    (word.to_owned(), is_scheme(bare))
}

/// The scheme of an `Authorization`, which a credential follows.
fn is_scheme(word: &str) -> bool {
    ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

fn is_secrets_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.rsplit(|c: char| !c.is_ascii_alphanumeric()).find(|part| !part.is_empty()).is_some_and(|last| {
        NAMES.contains(&last) || ["password", "secret", "token"].iter().any(|end| last.ends_with(end))
    })
}

/// Whether some part of a word is long and mixed as keys are: letters with digits, or both cases in disorder. Names of hosts and files,
/// numbers and plain words are not.
fn looks_like_a_key(word: &str) -> bool {
    let parts = word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | '_' | '-' | '~')));
    parts.into_iter().any(|part| {
        let letters = part.chars().filter(char::is_ascii_alphabetic).count();
        let digits = part.chars().filter(char::is_ascii_digit).count();
        let turns = part
            .as_bytes()
            .windows(2)
            .filter(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
        let is_mixed = letters > 0 && digits > 0;
        part.len() >= 10 && (is_mixed || part.contains('+'))
            || part.len() >= 16 && turns.count() >= 3
            || part.len() >= 40
    })
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, wanted: &str) {
        assert_eq!(shown(said.as_bytes(), &["known secret\nsecond line"]), wanted, "{said:?}");
    }

    #[test]
    fn ordinary_complaints_are_shown_on_one_line() {
        check("vault: permission denied\n", "vault: permission denied");
        check(
            "Error making API request.\n\nURL: GET https://vault.example.com:8200/v1/kv/data/api\nCode: 403. Errors:\n\n* permission denied",
            "Error making API request. URL: GET https://vault.example.com:8200/v1/kv/data/api Code: 403. Errors: * permission denied",
        );
        check(
            "An error occurred (ExpiredToken) when calling the GetSecretValue operation: The security token included in the request is expired",
            "An error occurred (ExpiredToken) when calling the GetSecretValue operation: The security token included in the request is expired",
        );
        check("Traceback (most recent call last):\n  File \"x.py\", line 1\nKeyError: 'api'\n", "KeyError: 'api'");
        check("say \"a\"\u{1b}[2J", "say 'a'\\u{1b}[2J");
        check("", "");
        let long = shown("word ".repeat(100).as_bytes(), &[]);
        assert!(long.chars().count() <= SHOWN + 1 && long.ends_with('…'), "{long}");
    }

    #[test]
    fn what_may_be_a_secret_is_hidden() {
        check("bad: known secret!", "bad: ***!");
        check("got second line", "got ***");
        check("password: hunter2 is wrong", "password: *** is wrong");
        check("DB_PASSWORD=hunter2", "DB_PASSWORD=***");
        check("token = x", "token = x");
        check("client_secret:'abc'", "client_secret:***");
        check("+ curl -H Authorization: Bearer abc -v", "+ curl -H Authorization: *** *** -v");
        check("sent Bearer abc", "sent Bearer ***");
        check("key hvs.CAESIJ9f31x found", "key *** found");
        check("cs/canary+client-secret-9f31", "***");
        check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2ln", "***");
        check("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w", "***");
        check("proxy http://user:pw@proxy:3128 failed", "proxy *** failed");
        assert!(!shown(b"the code is 12x", &["12x"]).contains("12x"));
    }
}
