//! What the instances of a fleet tell each other about a credential, as it is stored.
//!
//! Owns the form of an entry: JSON, sealed by the store. Times are told as ages, counted on the writer's clock that goes on during suspend; the store
//! adds for how long the entry has lain there, so that no instance's wall clock matters. An entry that cannot be understood is none.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::schedule::Past;
use crate::oauth::Class;
use crate::reason::Reason;
use crate::secret::Secret;

/// The form. A later one that means something else gets another number.
const FORM: u32 = 1;

/// How the last token request of the fleet ended, and the token that there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// How long ago the last token request was sent.
    pub(super) asked: Duration,
    /// The last token, which may have expired since.
    pub(super) token: Option<Known>,
    /// What renews it, where the grant may be asked with as well.
    pub(super) refresh_token: Option<Secret>,
    /// What went wrong since.
    pub(super) trouble: Option<Trouble>,
    /// The refresh token that is the only credential, where there is one: the newest that the writer knows.
    pub(super) descendant: Option<Descendant>,
}

/// A token that somebody has got.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) value: Secret,
    /// How long ago its request was sent.
    pub(super) age: Duration,
    /// Its life, from then on.
    pub(super) lifetime: Duration,
    /// Whether nobody has said so.
    pub(super) is_assumed: bool,
}

/// Why there is none, or no newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: Reason,
    /// One line without any secret.
    pub(super) message: String,
    /// What follows.
    pub(super) then: Then,
    /// What went wrong until then, which decides what follows on the next failure.
    pub(super) past: Past,
    /// How those are written who were refused since the last token. Empty where nobody was, and in entries of earlier versions.
    pub(super) refused: Vec<u64>,
}

/// What follows on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Another try, so long after the entry was written.
    Retry(Duration),
    /// The same, or when a secret changes.
    Held(Duration),
    /// The same, to be sure.
    Confirm(Duration),
    /// None.
    Latched,
}

/// A refresh token that descends from the configured one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descendant {
    /// The version of the record that it was in.
    pub(super) version: u64,
    pub(super) token: Secret,
}

impl Entry {
    /// As it is sealed.
    pub(super) fn print(&self) -> Zeroizing<Vec<u8>> {
        let wire = Wire {
            form: FORM,
            asked: millis(self.asked),
            token: self.token.as_ref().map(|token| WireToken {
                value: Cow::Borrowed(token.value.expose()),
                age: millis(token.age),
                lifetime: millis(token.lifetime),
                assumed: token.is_assumed,
            }),
            refresh_token: self.refresh_token.as_ref().map(|token| Cow::Borrowed(token.expose())),
            trouble: self.trouble.as_ref().map(WireTrouble::of),
            descendant: self.descendant.as_ref().map(|known| (known.version, Cow::Borrowed(known.token.expose()))),
        };
        // Room for the longest tokens, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
        // Writing to memory cannot fail, and every key is a text.
        let _ = serde_json::to_writer(&mut *text, &wire);
        text
    }

    /// What was written `age` ago. `None` if it cannot be understood.
    pub(super) fn parse(text: &[u8], age: Duration) -> Option<Self> {
        let wire: Wire<'_> = serde_json::from_slice(text).ok()?;
        if wire.form != FORM {
            return None;
        }
        let trouble = match wire.trouble {
            None => None,
            Some(trouble) => Some(trouble.read(age)?),
        };
        Some(Self {
            asked: duration(wire.asked).saturating_add(age),
            token: wire.token.map(|token| Known {
                value: Secret::new(token.value),
                age: duration(token.age).saturating_add(age),
                lifetime: duration(token.lifetime),
                is_assumed: token.assumed,
            }),
            refresh_token: wire.refresh_token.map(Secret::new),
            trouble,
            descendant: wire.descendant.map(|(version, token)| Descendant { version, token: Secret::new(token) }),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    form: u32,
    asked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<WireToken<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<WireTrouble<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    descendant: Option<(u64, Cow<'a, str>)>,
}

#[derive(Serialize, Deserialize)]
struct WireToken<'a> {
    value: Cow<'a, str>,
    age: u64,
    lifetime: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    assumed: bool,
}

#[derive(Serialize, Deserialize)]
struct WireTrouble<'a> {
    reason: Cow<'a, str>,
    message: Cow<'a, str>,
    then: Cow<'a, str>,
    wait: u64,
    transient: u32,
    server_errors: u32,
    refusals: u32,
    hidden: u32,
    permanent_for: Option<u64>,
    kept: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<u64>,
}

impl<'a> WireTrouble<'a> {
    fn of(trouble: &'a Trouble) -> Self {
        let (then, wait) = match trouble.then {
            Then::Retry(wait) => ("retry", wait),
            Then::Held(wait) => ("held", wait),
            Then::Confirm(wait) => ("confirm", wait),
            Then::Latched => ("latched", Duration::ZERO),
        };
        let Past { transient, server_errors, refusals, hidden, permanent_for, kept } = trouble.past;
        Self {
            reason: Cow::Borrowed(trouble.reason.code()),
            message: Cow::Borrowed(&trouble.message),
            then: Cow::Borrowed(then),
            wait: millis(wait),
            transient,
            server_errors,
            refusals,
            hidden,
            permanent_for: permanent_for.map(millis),
            kept: kept.map(|class| Cow::Borrowed(class_name(class))),
            refused: trouble.refused.clone(),
        }
    }

    fn read(self, age: Duration) -> Option<Trouble> {
        let wait = duration(self.wait).saturating_sub(age);
        let then = match &*self.then {
            "retry" => Then::Retry(wait),
            "held" => Then::Held(wait),
            "confirm" => Then::Confirm(wait),
            "latched" => Then::Latched,
            _ => return None,
        };
        let kept = match self.kept {
            None => None,
            Some(name) => Some(CLASSES.into_iter().find(|class| class_name(*class) == name)?),
        };
        Some(Trouble {
            reason: self.reason.parse().ok()?,
            message: self.message.into_owned(),
            then,
            refused: self.refused,
            past: Past {
                transient: self.transient,
                server_errors: self.server_errors,
                refusals: self.refusals,
                hidden: self.hidden,
                permanent_for: self.permanent_for.map(|time| duration(time).saturating_add(age)),
                kept,
            },
        })
    }
}

const CLASSES: [Class; 3] = [Class::Transient, Class::Refused, Class::Permanent];

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Transient => "transient",
        Class::Refused => "refused",
        Class::Permanent => "permanent",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn duration(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn entry() -> Entry {
        Entry {
            asked: SECOND,
            token: Some(Known { value: Secret::new("a\"b"), age: 2 * SECOND, lifetime: 60 * SECOND, is_assumed: true }),
            refresh_token: Some(Secret::new("r")),
            trouble: Some(Trouble {
                reason: Reason::TokenDenied,
                message: "no".to_owned(),
                then: Then::Confirm(60 * SECOND),
                past: Past {
                    transient: 1,
                    server_errors: 2,
                    refusals: 3,
                    hidden: 4,
                    permanent_for: Some(5 * SECOND),
                    kept: Some(Class::Permanent),
                },
                refused: vec![7, u64::MAX],
            }),
            descendant: Some(Descendant { version: 7, token: Secret::new("d") }),
        }
    }

    #[test]
    fn what_is_written_is_read_and_has_aged_meanwhile() {
        let read = Entry::parse(&entry().print(), 10 * SECOND).unwrap();
        assert_eq!(read.asked, 11 * SECOND);
        let token = read.token.unwrap();
        assert_eq!((token.value.expose(), token.age, token.lifetime), ("a\"b", 12 * SECOND, 60 * SECOND));
        assert!(token.is_assumed);
        assert_eq!(read.refresh_token.unwrap().expose(), "r");
        let trouble = read.trouble.unwrap();
        assert_eq!(trouble.then, Then::Confirm(50 * SECOND));
        assert_eq!(trouble.past.permanent_for, Some(15 * SECOND));
        assert_eq!((trouble.past.refusals, trouble.past.kept), (3, Some(Class::Permanent)));
        assert_eq!(trouble.refused, [7, u64::MAX]);
        assert_eq!(read.descendant, entry().descendant);
    }

    #[test]
    fn whatever_follows_is_read_as_it_was_written() {
        for then in [Then::Retry(SECOND), Then::Held(SECOND), Then::Confirm(SECOND), Then::Latched] {
            let mut entry = entry();
            entry.trouble.as_mut().unwrap().then = then;
            let read = Entry::parse(&entry.print(), Duration::ZERO).unwrap();
            assert_eq!(read.trouble.unwrap().then, then);
        }
    }

    #[test]
    fn an_entry_of_an_earlier_version_says_of_nobody_that_he_was_refused() {
        let text = String::from_utf8(entry().print().to_vec()).unwrap();
        let earlier = text.replace(&format!(",\"refused\":[7,{}]", u64::MAX), "");
        assert_ne!(earlier, text);
        let trouble = Entry::parse(earlier.as_bytes(), SECOND).unwrap().trouble.unwrap();
        assert_eq!((trouble.then, trouble.refused), (Then::Confirm(59 * SECOND), vec![]));
    }

    #[test]
    fn what_cannot_be_understood_is_no_entry() {
        let text = String::from_utf8(entry().print().to_vec()).unwrap();
        let check = |text: &str| assert!(Entry::parse(text.as_bytes(), SECOND).is_none(), "{text}");
        check("");
        check("{}");
        check(&text[..text.len() - 1]);
        check(&text.replace("\"form\":1", "\"form\":2"));
        check(&text.replace("T021", "T999"));
        check(&text.replace("confirm", "perhaps"));
        check(&text.replace("\"permanent\"", "\"p\""));
    }
}
