//! What a token that came says of itself: lifetime, scope, claims; never the token, never its signature.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::screen::{Mark, printable};
use crate::oauth::settings::{Endpoint, Settings};
use crate::oauth::{Issued, Seen};
use crate::secret::Secret;

/// The claims that decide most often whether a token is accepted come first.
const FIRST: &[&str] = &["iss", "aud", "sub", "exp", "iat", "nbf", "scope", "scp", "roles", "client_id", "azp"];
/// How many claims are shown.
const MOST: usize = 16;
/// How many characters of a claim are shown.
const LONGEST: usize = 160;
/// What resource servers allow for clocks.
const LEEWAY: i64 = 30;

type Line = (Mark, &'static str, String);

/// The lines about a token. `seen` is the answer that it came in.
pub(super) fn lines(issued: &Issued, seen: Option<&Seen>, settings: &Settings, now: SystemTime) -> Vec<Line> {
    let claims = claims(&issued.access_token);
    let lifetime = humantime::format_duration(Duration::from_secs(issued.lifetime.as_secs()));
    let from = seen.map(|seen| format!(" ({})", seen.lifetime_from)).unwrap_or_default();
    let kind = if claims.is_some() { "a JWT" } else { "opaque (no JWT)" };
    let mark = if from.contains("no lifetime") { Mark::Odd } else { Mark::Done };
    let mut lines = vec![(mark, "token", format!("lives for {lifetime}{from}; {kind}"))];
    lines.extend(scope(issued, settings));
    lines.extend(refresh(issued, seen));
    if let Some(thumbprint) = issued.key.as_ref().and_then(|key| key.thumbprint()) {
        lines.push((Mark::Done, "binding", format!("bound to the DPoP key {thumbprint}")));
    }
    if let Some(claims) = claims {
        lines.extend(told(&claims));
        lines.extend(doubts(&claims, settings, seconds(now)));
    }
    lines
}

fn scope(issued: &Issued, settings: &Settings) -> Option<Line> {
    let wanted = settings.scope.as_deref().filter(|scope| !scope.is_empty());
    let granted = issued.scope.as_deref().map(printable);
    let line = match (granted, wanted) {
        (None, None) => return None,
        // RFC 6749 §5.1: left out means as asked for.
        (None, Some(wanted)) => (Mark::Plain, format!("the answer does not say; asked for was {wanted:?}")),
        (Some(granted), None) => (Mark::Done, format!("\"{granted}\"")),
        (Some(granted), Some(wanted)) => {
            let missing: Vec<_> =
                wanted.split(' ').filter(|one| !granted.split([' ', ',']).any(|other| other == *one)).collect();
            match missing.as_slice() {
                [] => (Mark::Done, format!("\"{granted}\"")),
                missing => (Mark::Odd, format!("\"{granted}\", without what was asked for too: {}", missing.join(" "))),
            }
        }
    };
    Some((line.0, "scope", line.1))
}

fn refresh(issued: &Issued, seen: Option<&Seen>) -> Option<Line> {
    let text = match (issued.refresh_token.is_some(), seen.is_some_and(|seen| seen.refresh_token)) {
        (true, _) => "a refresh token came and will be used for renewals",
        (false, true) => "a refresh token came and is not used (use_refresh_token = false)",
        (false, false) => "no refresh token came; renewals ask as this request did",
    };
    Some((Mark::Plain, "refresh", text.to_owned()))
}

fn told(claims: &Map<String, Value>) -> Vec<Line> {
    let rank = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut names: Vec<_> = claims.keys().collect();
    names.sort_by_key(|name| (rank(name), name.as_str()));
    let mut lines: Vec<Line> = Vec::new();
    for name in names.iter().take(MOST) {
        let value = claims.get(*name).unwrap_or(&Value::Null);
        let label = if lines.is_empty() { "claims" } else { "" };
        let text = format!("{}: {}{}", printable(name), short(&printable(&value.to_string())), date(name, value));
        lines.push((Mark::Plain, label, text));
    }
    let rest: Vec<_> = names.iter().skip(MOST).map(|name| printable(name)).collect();
    if !rest.is_empty() {
        lines.push((Mark::Plain, "", format!("and {} more: {}", rest.len(), short(&rest.join(", ")))));
    }
    lines
}

/// What in the claims does not fit the configuration or the clock.
fn doubts(claims: &Map<String, Value>, settings: &Settings, now: i64) -> Vec<Line> {
    let mut found = Vec::new();
    let audiences: Option<Vec<&str>> = claims.get("aud").map(|aud| match aud {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    });
    let wanted = settings.audience.iter().chain(&settings.resource);
    if let Some(audiences) = audiences {
        for wanted in wanted.filter(|wanted| !audiences.contains(&wanted.as_str())) {
            found.push(("audience", format!("aud is not {wanted:?}, which was asked for; the API may not accept it")));
        }
    }
    if let (Endpoint::Issuer { identifier, .. }, Some(iss)) =
        (&settings.endpoint, claims.get("iss").and_then(Value::as_str))
        && iss != identifier
    {
        found.push(("issuer", format!("iss is not the configured issuer {identifier:?}")));
    }
    let time = |name: &str| claims.get(name).and_then(Value::as_i64);
    if time("exp").is_some_and(|exp| exp + LEEWAY < now) {
        found.push(("clock", "by this machine's clock the token has expired already".to_owned()));
    }
    if time("nbf").or(time("iat")).is_some_and(|from| from > now + LEEWAY) {
        found.push(("clock", "by this machine's clock the token is not valid yet".to_owned()));
    }
    found.into_iter().map(|(label, text)| (Mark::Odd, label, text)).collect()
}

/// The payload of a JWT (RFC 7519 §3). Nothing is verified: only the API can say whether it accepts the token.
fn claims(token: &Secret) -> Option<Map<String, Value>> {
    let mut parts = token.expose().split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&payload).ok()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Seconds since the epoch, readable (RFC 7519 §2, NumericDate).
fn date(claim: &str, value: &Value) -> String {
    if !matches!(claim, "exp" | "iat" | "nbf" | "auth_time" | "updated_at") {
        return String::new();
    }
    let date = value.as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    date.map_or_else(String::new, |date| format!(" ({date})"))
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_656_575_900;

    fn credential(lines: &str) -> Settings {
        let text = format!(
            "[routes.a]\nupstream = \"https://a.example\"\n[credentials.a]\ntoken_endpoint = \"https://a.example/t\"\n{lines}"
        );
        crate::config::load_str(&text, std::path::Path::new("b.toml")).unwrap().credentials[0].oauth.clone()
    }

    fn shown(token: &str, scope: Option<&str>, settings: &Settings) -> String {
        let issued = Issued {
            access_token: Secret::new(token),
            lifetime: Duration::from_millis(3_599_400),
            is_assumed: false,
            refresh_token: None,
            scope: scope.map(str::to_owned),
            key: None,
        };
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let lines = lines(&issued, None, settings, now);
        let lines: Vec<_> = lines.iter().map(|(mark, label, text)| format!("{mark:?} {label}: {text}")).collect();
        lines.join("\n")
    }

    fn jwt(payload: &str) -> String {
        format!("aGVhZGVy.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn claims_are_shown_and_the_token_is_not() {
        let token = jwt(r#"{"x":"\u001b[2J","iss":"https://login.example.com","exp":1656576038}"#);
        let text = shown(&token, Some("a b"), &credential(""));
        assert_eq!(
            text,
            "Done token: lives for 59m 59s; a JWT\nDone scope: \"a b\"\n\
             Plain refresh: no refresh token came; renewals ask as this request did\n\
             Plain claims: iss: \"https://login.example.com\"\nPlain : exp: 1656576038 (2022-06-30T08:00:38Z)\n\
             Plain : x: \"\\u001b[2J\""
        );
        assert!(token.split('.').all(|part| !text.contains(part)), "{text}");
    }

    #[test]
    fn an_opaque_token_is_called_so() {
        for token in ["sk-418e41", "a.b.c", "a..c", "a.e30.c.d"] {
            let text = shown(token, None, &credential(""));
            assert!(text.contains("opaque (no JWT)") && !text.contains(token), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_the_configuration_or_the_clock_is_marked() {
        let check = |payload: &str, lines: &str, wanted: &[&str]| {
            let text = shown(&jwt(payload), None, &credential(lines));
            let odd: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("Odd ")).collect();
            assert_eq!(odd.len(), wanted.len(), "{text}");
            assert!(odd.iter().zip(wanted).all(|(line, wanted)| line.contains(wanted)), "{text}");
        };
        let audience = "audience = \"https://api\"";
        check(r#"{"aud":"https://api"}"#, audience, &[]);
        check(r#"{"aud":["x","https://api"]}"#, audience, &[]);
        check(r#"{"aud":"account"}"#, audience, &["audience: aud is not \"https://api\""]);
        check(r#"{"sub":"x"}"#, audience, &[]);
        check(r#"{"exp":1656575000,"iat":1656575950}"#, "", &["expired already", "not valid yet"]);
        check(r#"{"exp":1656575890,"iat":1656575910}"#, "", &[]);
    }

    #[test]
    fn a_scope_that_was_asked_for_and_not_granted_is_marked() {
        let settings = credential("scope = \"read write\"");
        assert!(shown("x", Some("read write more"), &settings).contains("Done scope: \"read write more\""));
        assert!(
            shown("x", Some("read"), &settings).contains("Odd scope: \"read\", without what was asked for too: write")
        );
        assert!(shown("x", None, &settings).contains("Plain scope: the answer does not say"));
        assert!(shown("x", Some("a\u{1b}"), &credential("")).contains("a\\u{1b}"));
    }

    #[test]
    fn many_claims_do_not_fill_the_screen() {
        let claims: Map<String, Value> =
            (0..40).map(|number| (format!("c{number:02}"), "x".repeat(500).into())).collect();
        let text = shown(&jwt(&Value::Object(claims).to_string()), None, &credential(""));
        assert!(text.lines().count() < 22 && text.lines().all(|line| line.chars().count() < 200), "{text}");
        assert!(text.contains("and 24 more: c16, c17"), "{text}");
    }
}
