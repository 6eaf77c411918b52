//! Reading a success: where the token is, and whether it can be used.
//!
//! Owns the rules for what is accepted from a token endpoint (RFC 6749 §5.1, RFC 6750 §2.1), wherever in the answer it stands.
//! Refuses a token that could mean something else in the place where it will be sent, and a field that comes twice.

use http::header::{HeaderMap, HeaderName};
use serde_json::Value;

use super::lifetime::{self, Life, Sources, WallTimes, lifetime};
use super::opaque::{self, Strictness};
use super::settings::{Elsewhere, Format, Legal, ResponseShape, Settings};
use super::{Issued, format, jar};
use crate::dpop::SCHEME;
use crate::secret::Secret;

/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// How deep a refresh token is looked for.
const DEEPEST: usize = 4;

/// How many member names are told when the token is not among them.
const MOST_NAMES: usize = 8;

/// Why a 2xx brought no token.
#[derive(Debug)]
pub(super) enum Defect {
    /// It is not JSON that means one thing.
    NotUnderstood(String),
    /// It is, but there is no usable token in it.
    NoToken {
        /// What is wrong. May hold names of the peer's.
        why: String,
        /// The answer, in which an error may stand.
        answer: Value,
    },
    /// There is a token, but not one that is bound to our key (RFC 9449 §5). What is wrong; may hold names of the peer's.
    NotBound(String),
}

/// Reads the answer to a token request: its body and its header fields.
pub(super) fn read(body: &[u8], headers: &HeaderMap, settings: &Settings, times: &WallTimes) -> Result<Issued, Defect> {
    let shape = &settings.response;
    let found = match &shape.elsewhere {
        None => in_body(body, headers, shape)?,
        Some(elsewhere) => {
            // What else the body says is welcome, but need not be there.
            let answer = format::parse(body, headers, shape.format).unwrap_or_default();
            match outside(elsewhere, headers, times) {
                Ok((token, cookie_life)) => Found { token, cookie_life, answer },
                Err(why) => return Err(Defect::NoToken { why, answer }),
            }
        }
    };
    let Found { token, cookie_life, mut answer } = found;
    let token_type = sibling(&answer, shape, "token_type");
    let must_be_bearer = settings.legal.bearer && settings.dpop.is_none();
    let checked = check_token(token.expose(), settings.legal).and_then(|()| check_type(token_type, must_be_bearer));
    if let Err(why) = checked {
        return Err(Defect::NoToken { why, answer });
    }
    let bound = if settings.dpop.is_some() { check_bound(token_type) } else { Ok(()) };
    let sources = Sources {
        expires_in: format::at(&answer, &shape.expires_in).and_then(lifetime::expires_in),
        expires_at: shape.expires_at.as_ref().and_then(|at| format::at(&answer, at)).and_then(lifetime::expires_at),
        claims: lifetime::claims(token.expose()),
        cookie: cookie_life,
    };
    let Some(Life { lasts, is_assumed }) = lifetime(&sources, times, shape.default_lifetime) else {
        return Err(Defect::NoToken { why: "the token has already expired".to_owned(), answer });
    };
    let scope = sibling(&answer, shape, "scope").and_then(Value::as_str).map(str::to_owned);
    let refresh_token = take_text(&mut answer, &shape.refresh_token).ok();
    let refresh_token =
        refresh_token.filter(|token| settings.use_refresh_token && token.expose().len() <= LONGEST_TOKEN);
    // An identity token, or a refresh token that is not used.
    crate::secret::wipe(&mut answer);
    if let Err(why) = bound {
        return Err(Defect::NotBound(why));
    }
    Ok(Issued { access_token: token, lifetime: lasts, is_assumed, refresh_token, scope, key: None })
}

/// The refresh token in a success without a usable access token: it may be the only one that is still good. Found by its name where
/// it is not where it should be, since a wrong pointer must not cost the only credential.
pub(super) fn stray_refresh_token(body: &[u8], headers: &HeaderMap, settings: &Settings) -> Option<Secret> {
    let shape = &settings.response;
    let mut answer = format::parse(body, headers, shape.format).ok()?;
    let found = take_text(&mut answer, &shape.refresh_token).ok().or_else(|| {
        let name = shape.refresh_token.rsplit('/').next().unwrap_or_default();
        take_named(&mut answer, name, DEEPEST)
    });
    crate::secret::wipe(&mut answer);
    found.filter(|token| settings.use_refresh_token && token.expose().len() <= LONGEST_TOKEN)
}

/// The first text with this name among the members, and theirs.
fn take_named(value: &mut Value, name: &str, depth: usize) -> Option<Secret> {
    let members = value.as_object_mut().filter(|_| depth > 0)?;
    match members.get_mut(name) {
        Some(Value::String(text)) if !text.is_empty() => return Some(Secret::new(std::mem::take(text))),
        _ => {}
    }
    members.values_mut().find_map(|value| take_named(value, name, depth - 1))
}

/// A token and what came with it.
struct Found {
    token: Secret,
    /// How long its cookie lives, in seconds.
    cookie_life: Option<f64>,
    answer: Value,
}

fn in_body(body: &[u8], headers: &HeaderMap, shape: &ResponseShape) -> Result<Found, Defect> {
    let is_whole = shape.access_token.is_empty() && matches!(shape.format, Format::Auto | Format::Json);
    let answer = if is_whole { format::whole(body) } else { format::parse(body, headers, shape.format) };
    let mut answer = answer.map_err(Defect::NotUnderstood)?;
    match take_text(&mut answer, &shape.access_token) {
        Ok(token) => Ok(Found { token, cookie_life: None, answer }),
        Err(why) => Err(Defect::NoToken { why: format!("{why}{}", names(&answer)), answer }),
    }
}

/// The token in a header field or a cookie, and how long the latter lives.
fn outside(elsewhere: &Elsewhere, headers: &HeaderMap, times: &WallTimes) -> Result<(Secret, Option<f64>), String> {
    match elsewhere {
        Elsewhere::Header(name) => Ok((in_header(headers, name)?, None)),
        Elsewhere::Cookie(name) => {
            let cookie = jar::the_one(headers, name, times.date.unwrap_or(times.arrived));
            let cookie = cookie.ok_or_else(|| format!("it sets no cookie {name}"))?;
            let life = lifetime::of_cookie(cookie.max_age, cookie.expires, times);
            Ok((Secret::new(cookie.bare_value()), life))
        }
    }
}

/// A token in a header field, without the scheme that some servers put before it.
fn in_header(headers: &HeaderMap, name: &HeaderName) -> Result<Secret, String> {
    let text = header_value(headers, name)?;
    let is_scheme = |word: &str| word.eq_ignore_ascii_case("bearer");
    let bare = text.split_once(' ').filter(|(scheme, _)| is_scheme(scheme)).map_or(text, |(_, token)| token.trim());
    Ok(Secret::new(bare))
}

/// The one value of a header field.
pub(super) fn header_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().ok_or_else(|| format!("it has no header field {name}"))?;
    if values.any(|other| other != first) {
        return Err(format!("its header field {name} comes several times"));
    }
    match first.to_str().map(str::trim) {
        Ok("") => Err(format!("its header field {name} is empty")),
        Ok(text) => Ok(text),
        Err(_) => Err(format!("its header field {name} is not ASCII text")),
    }
}

/// Takes the text at `pointer` out of the answer, so that no second copy stays.
pub(super) fn take_text(answer: &mut Value, pointer: &str) -> Result<Secret, String> {
    let place = if pointer.is_empty() { "the whole answer" } else { pointer };
    match format::at_mut(answer, pointer) {
        None => Err(format!("there is no {place}")),
        Some(Value::Null) => Err(format!("{place} is null")),
        Some(found @ Value::String(_)) => match found.take() {
            Value::String(text) if !text.is_empty() => Ok(Secret::new(text)),
            _ => Err(format!("{place} is empty")),
        },
        Some(_) => Err(format!("{place} is not a text")),
    }
}

/// `; it has: data, status`: what a person needs to write the right pointer.
pub(super) fn names(answer: &Value) -> String {
    let Some(members) = answer.as_object() else { return String::new() };
    let is_name = |name: &&String| {
        (1..=24).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'))
            // A form without names is a token by chance.
            && opaque::is_name(name)
    };
    // What has no value in a form may be no name at all.
    let has_value = |(_, value): &(&String, &Value)| value.as_str() != Some("");
    let names = members.iter().filter(has_value).map(|(name, _)| name);
    let names: Vec<_> = names.filter(is_name).take(MOST_NAMES).map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!("; the answer has: {}", names.join(", ")) }
}

/// A member beside the access token.
fn sibling<'a>(answer: &'a Value, shape: &ResponseShape, name: &str) -> Option<&'a Value> {
    let (parent, _) = shape.access_token.rsplit_once('/')?;
    format::at(answer, &format!("{parent}/{name}"))
}

/// Whether the token can stand wherever it will be put without meaning anything else there.
fn check_token(token: &str, legal: Legal) -> Result<(), String> {
    if token.is_empty() {
        return Err("the token is empty".to_owned());
    }
    if token.len() > LONGEST_TOKEN {
        return Err(format!("the token is longer than {} KiB", LONGEST_TOKEN / 1024));
    }
    if legal.bearer && !is_b64token(token) {
        return Err("the token has characters that no bearer token may have (RFC 6750 section 2.1)".to_owned());
    }
    if legal.header && !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that no header may carry".to_owned());
    }
    // RFC 6265 §4.1.1, cookie-octet.
    if legal.cookie && !token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)) {
        return Err("the token has characters that no cookie may carry (RFC 6265 section 4.1.1)".to_owned());
    }
    Ok(())
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1), and `!`: a large vendor's tokens have
/// it, and it means nothing in a header.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'!');
    !body.is_empty() && body.bytes().all(legal)
}

/// RFC 6749 §7.1: a client must not use a token whose type it does not understand. Where the configuration sends it
/// with another scheme, it understands. Absent and empty count as Bearer: many servers leave it out.
fn check_type(token_type: Option<&Value>, must_be_bearer: bool) -> Result<(), String> {
    match token_type {
        None | Some(Value::Null) => Ok(()),
        _ if !must_be_bearer => Ok(()),
        Some(Value::String(kind)) if kind.trim().is_empty() || kind.trim().eq_ignore_ascii_case("bearer") => Ok(()),
        Some(Value::String(kind)) => Err(format!("its token_type is {} and not Bearer", named(kind))),
        Some(_) => Err("its token_type is not a text".to_owned()),
    }
}

/// RFC 9449 §5: a token of another type than `DPoP` is bound to no key, and whoever steals it can use it. That is what the operator
/// wanted to be safe from, so it is not sent to anybody.
fn check_bound(token_type: Option<&Value>) -> Result<(), String> {
    match token_type {
        Some(Value::String(kind)) if kind.trim().eq_ignore_ascii_case(SCHEME) => Ok(()),
        Some(Value::String(kind)) => Err(format!("its token_type is {} and not {SCHEME}", named(kind))),
        _ => Err(format!("it has no token_type, which must be {SCHEME}")),
    }
}

/// A type as it may be shown.
fn named(kind: &str) -> String {
    let is_word = opaque::words(kind, Strictness::Words).is_empty() || kind.eq_ignore_ascii_case(SCHEME);
    if kind.len() <= 20 && is_word { format!("{kind:?}") } else { "another one".to_owned() }
}

#[cfg(test)]
mod tests;
