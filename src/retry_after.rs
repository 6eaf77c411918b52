//! `Retry-After` (RFC 9110 §10.2.3): when a server wants to be asked again.

use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap};

/// More than anybody waits; keeps arithmetic with hostile values harmless.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long to wait, counted from the arrival of the answer. A date is taken relative to the answer's own `Date`, so
/// that a wrong clock on either side does not matter; to `arrived` only if there is none. Garbage is `None`.
pub(crate) fn retry_after(headers: &HeaderMap, arrived: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = date(headers).unwrap_or(arrived);
    // A date that has passed says: at once.
    Some(at.duration_since(now).unwrap_or_default().min(LONGEST))
}

/// The answer's `Date`.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn check(value: &str, date: Option<&str>, wanted: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        let arrived = UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        assert_eq!(retry_after(&headers, arrived), wanted.map(Duration::from_secs), "{value} at {date:?}");
    }

    #[test]
    fn seconds_are_taken_as_they_are() {
        check("0", None, Some(0));
        check(" 120 ", None, Some(120));
        check("315360000", None, Some(315_360_000));
        check("99999999999999999999999", None, Some(LONGEST.as_secs()));
    }

    #[test]
    fn a_date_is_relative_to_the_answers_own_date() {
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(DATE), Some(10));
        check("Sun, 06 Nov 1994 08:49:00 GMT", Some(DATE), Some(0));
        check(DATE, None, Some(60));
        check(DATE, Some("garbage"), Some(60));
        check("Sunday, 06-Nov-94 08:49:47 GMT", Some(DATE), Some(10));
        check("Tue, 31 Dec 2999 23:59:59 GMT", Some(DATE), Some(LONGEST.as_secs()));
    }

    #[test]
    fn garbage_is_no_wish_at_all() {
        for garbage in ["", "soon", "-5", "1.5", "+3", "1e3", "Sun, 99 Nov 1994 08:49:37 GMT", "\u{fc}"] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_bytes(garbage.as_bytes()).unwrap());
            assert_eq!(retry_after(&headers, UNIX_EPOCH), None, "{garbage}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), UNIX_EPOCH), None);
    }
}
