//! Properties of a token's life that hold for any bytes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken property is a panic, as in a test")]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::entry::Entry;
use super::schedule::{Circumstances, History};
use super::settings::Early;
use super::shared::Shared;
use super::{AccessToken, Reader, Settings};
use crate::clock::{Clock, Moment};
use crate::fuzzing::{controls, fields};
use crate::metrics::Metrics;
use crate::oauth::{Class, FetchError};
use crate::reason::Reason;
use crate::secret::Secret;

/// The read half of a credential that never has a token.
pub(crate) fn reader(metrics: &Metrics) -> Reader {
    let settings = Settings {
        name: "api".to_owned(),
        early: Early::Default,
        wait: Duration::from_secs(10),
        required: true,
        lockout: false,
        gap: Duration::from_secs(600),
        use_refresh_token: true,
        lives_by_refresh_token: false,
        budget: None,
        scheme: Some("Bearer".to_owned()),
        is_bound: false,
    };
    Reader::new(Arc::new(Shared::new(settings, Clock::boot(), metrics.credential("api"))))
}

/// A token that lives for an hour.
pub(crate) fn token(text: &str) -> AccessToken {
    let lifetime = Duration::from_secs(3600);
    AccessToken::new(1, Secret::new(text), None, Clock::boot().now(), SystemTime::now(), lifetime, None).unwrap()
}

const NOW: Moment = Moment::ORIGIN;

/// A server's wish is obeyed as it is written, relative to its own clock, up to five minutes; garbage is none.
pub(crate) fn retry_after(data: &[u8]) {
    let (headers, _) = fields(data);
    let arrived = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let asked = crate::retry_after::retry_after(&headers, arrived);
    let text = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
    let ten_years = Duration::from_secs(10 * 365 * 24 * 3600);
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let wanted = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(text.parse().map_or(ten_years, Duration::from_secs).min(ten_years))
    } else {
        let now = headers.get("date").and_then(|value| date(value.to_str().ok()?.trim())).unwrap_or(arrived);
        date(text).map(|at| at.duration_since(now).unwrap_or_default().min(ten_years))
    };
    assert_eq!(asked, wanted, "{text:?}");
    for (class, status) in
        [(Class::Transient, 503), (Class::Transient, 429), (Class::Refused, 403), (Class::Permanent, 401)]
    {
        let due = |retry_after| {
            let status = StatusCode::from_u16(status).ok();
            let error = FetchError { class, reason: Reason::TokenDenied, status, retry_after, message: String::new() };
            let at = Circumstances { now: NOW, valid_until: None, lockout: false, sample: 1.0 };
            History::default().after_failure(&error, at).due().unwrap().since(NOW)
        };
        let (without, with) = (due(None), due(asked));
        assert!(with >= without && with >= asked.unwrap_or_default().min(Duration::from_secs(300)));
        assert!(with <= without.max(Duration::from_secs(300)), "{with:?}");
    }
}

/// What one instance writes another understands, however it has aged; what nobody wrote is no entry, and what is one can be acted upon.
pub(crate) fn entry(data: &[u8]) {
    let ([a, b, c], text) = controls(data);
    let age = Duration::from_millis(u64::from_be_bytes([0, 0, 0, a, b, c, a, b]));
    let Some(entry) = Entry::parse(text, Duration::ZERO) else {
        return assert!(Entry::parse(text, age).is_none(), "age does not make an entry");
    };
    let printed = entry.print();
    let again = Entry::parse(&printed, Duration::ZERO).unwrap();
    assert_eq!(again.print(), printed, "what is written is read");
    assert_eq!(format!("{again:?}"), format!("{entry:?}"));
    let token = |entry: &Entry| entry.token.as_ref().map(|token| (token.value.clone(), token.lifetime));
    assert_eq!(
        (token(&again), &again.refresh_token, &again.descendant),
        (token(&entry), &entry.refresh_token, &entry.descendant)
    );
    let aged = Entry::parse(text, age).unwrap();
    assert!(aged.asked >= entry.asked && aged.asked >= age);
    if let (Some(before), Some(after)) = (&entry.token, &aged.token) {
        assert!(after.age >= before.age && after.lifetime == before.lifetime, "no token grows younger");
    }
    if let Some(trouble) = aged.trouble {
        let now = Clock::boot().now();
        let mut history = History::heard(trouble.past, now);
        let error = FetchError {
            class: Class::Permanent,
            reason: trouble.reason,
            status: None,
            retry_after: None,
            message: String::new(),
        };
        history.after_failure(&error, Circumstances { now, valid_until: None, lockout: true, sample: 1.0 });
        history.told(now);
    }
}
