//! Properties of a token endpoint's answers that hold for any bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HeaderMap;
use http::{HeaderName, HeaderValue, Uri};
use serde_json::Value;

use super::answer::{read, stray_refresh_token};
use super::jar::{Jar, set_by};
use super::lifetime::{Life, Sources, WallTimes, claims, lifetime};
use super::settings::{Elsewhere, Format, Legal, Settings};
use super::{Issued, smallest};
use crate::fuzzing::{controls, fields};
use crate::upstream::Origin;

pub(crate) use super::mask::fuzzing::mask;

const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const LONGEST_TOKEN: usize = 16 * 1024;
/// Seconds since 1970.
const NOW: u64 = 1_700_000_000;

/// A token that is taken can stand where it is sent and means nothing else there; it lives no longer than was said; it is the one that
/// stands in the answer.
///
/// After two bytes the header fields, one a line, an empty line and the body.
pub(crate) fn token_answer(data: &[u8]) {
    let ([shape, place], rest) = controls(data);
    let (headers, body) = fields(rest);
    let settings = settings(shape, place);
    let times = times(&headers);
    if let Some(refresh) = stray_refresh_token(body, &headers, &settings) {
        assert!((1..=LONGEST_TOKEN).contains(&refresh.expose().len()));
    }
    let Ok(issued) = read(body, &headers, &settings, &times) else { return };
    let token = issued.access_token.expose();
    let legal = settings.legal;
    assert!((1..=LONGEST_TOKEN).contains(&token.len()));
    let is_b64token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=!".contains(&byte);
    assert!(!legal.bearer || token.bytes().all(is_b64token), "{token:?}");
    assert!(!legal.cookie || !token.contains(['"', ',', ';', '\\']), "{token:?}");
    if legal.header || legal.cookie || legal.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        assert!(value.to_str().is_ok() && !token.contains(char::is_whitespace), "{token:?}");
    }
    // A scope is no secret, even one that reads like the token.
    let shown = format!("{:?}", Issued { scope: None, ..issued.clone() });
    assert!(!shown.contains(&format!("{token:?}")), "{shown}");
    assert!(issued.lifetime > Duration::ZERO && issued.lifetime <= TEN_YEARS);
    if let Some(refresh) = &issued.refresh_token {
        assert!((1..=LONGEST_TOKEN).contains(&refresh.expose().len()));
    }
    is_no_longer_than_its_claims(token, issued.lifetime, &times);
    // Another reader of JSON finds the same.
    let other: Option<Value> = serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok();
    if let (Some(other), Format::Auto | Format::Json, None) =
        (&other, settings.response.format, &settings.response.elsewhere)
        && !settings.response.access_token.is_empty()
    {
        assert_eq!(other.pointer(&settings.response.access_token).and_then(Value::as_str), Some(token));
        if let Some(said) =
            other.pointer(&settings.response.expires_in).and_then(Value::as_f64).filter(|said| *said > 0.0)
        {
            assert!(issued.lifetime.as_secs_f64() <= said.max(0.001) + 1e-6, "{:?} of {said}", issued.lifetime);
        }
    }
}

/// No token lives longer than its own claims say, whatever they are.
///
/// After one byte the claims as JSON, or the token as a whole if it is odd.
pub(crate) fn jwt_exp(data: &[u8]) {
    let ([form], text) = controls(data);
    let token = if form & 1 == 1 {
        String::from_utf8_lossy(text).into_owned()
    } else {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(text))
    };
    let found = claims(&token);
    if let Some(found) = found {
        assert!(found.exp.is_finite() && found.exp > 0.0 && found.iat.is_none_or(|iat| iat.is_finite() && iat > 0.0));
    }
    for date in [None, Some(at(NOW)), Some(at(NOW - 3600))] {
        let times = WallTimes { sent: at(NOW), arrived: at(NOW), date };
        for said in [None, Some(60.0), Some(1e18)] {
            let sources = Sources { expires_in: said, claims: found, ..Sources::default() };
            let Some(Life { lasts: life, .. }) = lifetime(&sources, &times, Duration::from_secs(3600)) else {
                let claims = found.unwrap();
                let theirs = date.unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
                assert!(claims.exp <= theirs.min(NOW as f64), "only what has expired by both clocks has no life");
                continue;
            };
            assert!(life > Duration::ZERO && life <= TEN_YEARS);
            assert!(life.as_secs_f64() <= said.unwrap_or(f64::MAX) + 1e-6);
            is_no_longer_than_its_claims(&token, life, &times);
        }
    }
}

/// By another reader of the claims than the one that is tested.
fn is_no_longer_than_its_claims(token: &str, life: Duration, times: &WallTimes) {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts.as_slice() else { return };
    let Ok(payload) = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')) else { return };
    let Ok(payload) = serde_json::from_slice::<Value>(&payload) else { return };
    let number = |name: &str| payload.get(name).and_then(Value::as_f64).filter(|number| *number > 0.0);
    let Some(exp) = number("exp") else { return };
    let most = |seconds: f64| assert!(life.as_secs_f64() <= seconds.max(0.001) + 1e-3, "{life:?} of {seconds}");
    if let Some(iat) = number("iat").filter(|iat| exp > *iat) {
        most(exp - iat);
    }
    let sent = times.sent.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    if times.date == Some(times.arrived) && exp >= 1e9 {
        most(exp - sent);
    }
}

/// A cookie of a login goes to the host that set it and to no other, as it was set, and never without TLS if it wants that.
pub(crate) fn cookie_jar(data: &[u8]) {
    let ([which], lines) = controls(data);
    let (headers, _) = fields(
        &lines
            .split(|byte| *byte == b'\n')
            .flat_map(|line| [b"set-cookie:", line, b"\n"].concat())
            .collect::<Vec<u8>>(),
    );
    let at_host = |uri: &'static str| {
        let uri = Uri::from_static(uri);
        let origin = Origin::of(&uri).unwrap();
        (uri, origin)
    };
    let from = at_host(
        ["https://login.example.com/auth/login", "http://login.example.com/", "http://127.0.0.1:8080/auth"]
            [usize::from(which) % 3],
    );
    let mut jar = Jar::default();
    jar.take_up(&headers, (&from.0, &from.1), at(NOW));
    assert!(jar.values().count() <= 64);
    for elsewhere in
        ["https://example.com/", "https://api.example.com/auth/login", "https://login.example.com.evil.example/auth/"]
    {
        let to = at_host(elsewhere);
        assert!(jar.pairs_for((&to.0, &to.1)).is_empty(), "{elsewhere}");
    }
    let to = at_host(
        ["https://login.example.com/auth/token", "http://login.example.com/auth/token"][usize::from(which >> 4) % 2],
    );
    for (name, value) in jar.pairs_for((&to.0, &to.1)) {
        let is_legal = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';');
        assert!(!name.is_empty() && is_legal(name) && !name.contains('=') && is_legal(value.expose()), "{name:?}");
        let last = set_by(&headers).filter(|cookie| cookie.name == name && cookie.value == *value).count();
        assert!(last > 0, "{name} was set so");
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn times(headers: &HeaderMap) -> WallTimes {
    WallTimes { sent: at(NOW), arrived: at(NOW), date: crate::retry_after::date(headers) }
}

/// Every place where an answer may have its token, and where that may be sent.
fn settings(shape: u8, place: u8) -> Settings {
    let mut settings = smallest::settings();
    let response = &mut settings.response;
    match shape % 8 {
        0 => {}
        1 => {
            response.access_token = "/data/access_token".to_owned();
            response.expires_in = "/data/expires_in".to_owned();
            response.expires_at = Some("/data/expires_at".to_owned());
        }
        2 => response.access_token = String::new(),
        3 => response.elsewhere = Some(Elsewhere::Header(HeaderName::from_static("x-auth-token"))),
        4 => response.elsewhere = Some(Elsewhere::Cookie("SID".to_owned())),
        5 => {
            response.format = Format::Xml;
            response.access_token = "/response/token".to_owned();
        }
        6 => response.format = Format::Form,
        _ => response.access_token = "/items/0/token".to_owned(),
    }
    settings.legal = match place % 4 {
        0 => Legal { bearer: true, header: true, cookie: false },
        1 => Legal { bearer: false, header: true, cookie: false },
        2 => Legal { bearer: false, header: false, cookie: true },
        _ => Legal { bearer: false, header: true, cookie: true },
    };
    settings
}
