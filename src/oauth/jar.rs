//! The cookies of one login (RFC 6265), in memory alone.
//!
//! Owns which cookie goes to which request of the same login: to the host that set it, below its path, by TLS if it says so. A
//! `Domain` is heeded only as far as it names the host itself: cookies for a whole domain go to that host and no other, so that no
//! list of public suffixes is needed. Refuses to show or keep anything.

use std::time::SystemTime;

use http::Uri;
use http::header::{HeaderMap, SET_COOKIE};

use crate::secret::Secret;
use crate::upstream::{Origin, Scheme};

/// More cookies than any login needs; a server that sets more loses the oldest.
const MOST: usize = 64;

/// The longest value that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// One cookie as a `Set-Cookie` line says it.
#[derive(Clone, Debug)]
pub(super) struct SetCookie {
    pub(super) name: String,
    pub(super) value: Secret,
    pub(super) max_age: Option<i64>,
    pub(super) expires: Option<SystemTime>,
    domain: Option<String>,
    path: Option<String>,
    secure: bool,
}

/// The cookies of one login.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar(Vec<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    host: String,
    path: String,
    secure: bool,
    name: String,
    value: Secret,
}

impl SetCookie {
    /// RFC 6265 §5.2; `None` if there is no name, or something in it that no `Cookie` line may carry.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_legal = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if name.is_empty() || value.len() > LONGEST || !is_legal(name) || !is_legal(value) {
            return None;
        }
        let mut cookie = Self {
            name: name.to_owned(),
            value: Secret::new(value),
            max_age: None,
            expires: None,
            domain: None,
            path: None,
            secure: false,
        };
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "max-age" => cookie.max_age = value.parse().ok().or(cookie.max_age),
                "expires" => cookie.expires = httpdate::parse_http_date(value).ok().or_else(|| dashed(value)),
                "domain" => cookie.domain = Some(value.trim_start_matches('.').to_ascii_lowercase()),
                "path" => cookie.path = Some(value.to_owned()).filter(|path| path.starts_with('/')),
                "secure" => cookie.secure = true,
                _ => {}
            }
        }
        Some(cookie)
    }

    /// Whether it takes a cookie away (RFC 6265 §3.1).
    pub(super) fn is_removal(&self, now: SystemTime) -> bool {
        match (self.max_age, self.expires) {
            (Some(seconds), _) => seconds <= 0,
            (None, Some(at)) => at <= now,
            (None, None) => self.value.expose().is_empty(),
        }
    }

    /// The value without the quotation marks that it may stand in.
    pub(super) fn bare_value(&self) -> &str {
        let value = self.value.expose();
        value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
    }
}

/// `Wed, 09-Jun-2027 10:18:14 GMT`: the form of the first cookies, which many servers still write.
fn dashed(text: &str) -> Option<SystemTime> {
    let (day, rest) = text.split_once(", ")?;
    let (date, time) = rest.split_once(' ')?;
    let day = day.get(..3)?;
    let mut parts = date.splitn(3, '-');
    let (number, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let year = if year.len() == 2 { format!("20{year}") } else { year.to_owned() };
    httpdate::parse_http_date(&format!("{day}, {number} {month} {year} {time}")).ok()
}

/// The cookies that an answer sets, in their order. What cannot be understood is left out.
pub(super) fn set_by(headers: &HeaderMap) -> impl Iterator<Item = SetCookie> {
    headers.get_all(SET_COOKIE).iter().filter_map(|line| SetCookie::parse(line.to_str().ok()?))
}

/// The last word on the cookie of this name, unless that takes it away.
pub(super) fn the_one(headers: &HeaderMap, name: &str, now: SystemTime) -> Option<SetCookie> {
    set_by(headers).filter(|cookie| cookie.name == name).last().filter(|cookie| !cookie.is_removal(now))
}

impl Jar {
    /// Takes up what an answer from `uri`, which is at `origin`, sets.
    pub(super) fn take_up(&mut self, headers: &HeaderMap, (uri, origin): (&Uri, &Origin), now: SystemTime) {
        let host = origin.host().to_ascii_lowercase();
        for cookie in set_by(headers) {
            // RFC 6265 §5.3: a domain must be the host or lie above it.
            let domain = cookie.domain.as_deref().filter(|domain| !domain.is_empty());
            let fits = domain.is_none_or(|domain| {
                host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
            });
            // §5.4 of its successor: what is only for TLS is not set without.
            if !fits || cookie.secure && origin.scheme() == Scheme::Http && !origin.is_loopback() {
                continue;
            }
            let removes = cookie.is_removal(now);
            let path = cookie.path.unwrap_or_else(|| default_path(uri.path()));
            self.0.retain(|kept| !(kept.host == host && kept.path == path && kept.name == cookie.name));
            if !removes {
                let kept =
                    Kept { host: host.clone(), path, secure: cookie.secure, name: cookie.name, value: cookie.value };
                self.0.push(kept);
            }
        }
        let surplus = self.0.len().saturating_sub(MOST);
        self.0.drain(..surplus);
    }

    /// The pairs of a `Cookie` line to `uri`, which is at `origin`: longer paths first (RFC 6265 §5.4).
    pub(super) fn pairs_for(&self, (uri, origin): (&Uri, &Origin)) -> Vec<(&str, &Secret)> {
        let host = origin.host().to_ascii_lowercase();
        let secure = origin.scheme() == Scheme::Https || origin.is_loopback();
        let mut fitting: Vec<&Kept> = self.0.iter().collect();
        fitting.retain(|kept| kept.host == host && is_below(uri.path(), &kept.path) && (secure || !kept.secure));
        fitting.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        fitting.into_iter().map(|kept| (kept.name.as_str(), &kept.value)).collect()
    }

    /// Every value, for the mask.
    pub(super) fn values(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().map(|kept| &kept.value)
    }
}

/// RFC 6265 §5.1.4.
fn default_path(path: &str) -> String {
    match path.rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(end) => path.get(..end).unwrap_or("/").to_owned(),
    }
}

fn is_below(path: &str, cookie_path: &str) -> bool {
    let path = if path.is_empty() { "/" } else { path };
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::time::{Duration, UNIX_EPOCH};

    const NOW: SystemTime = UNIX_EPOCH;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (SET_COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    fn sent(set: &[(&str, &[&str])], to: &str) -> String {
        let mut jar = Jar::default();
        for (from, lines) in set {
            let uri: Uri = from.parse().unwrap();
            jar.take_up(&headers(lines), (&uri, &Origin::of(&uri).unwrap()), NOW);
        }
        let uri: Uri = to.parse().unwrap();
        let origin = Origin::of(&uri).unwrap();
        let pairs = jar.pairs_for((&uri, &origin));
        pairs.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_cookie_goes_to_the_host_that_set_it_below_its_path() {
        let check = |line: &str, to: &str, wanted: &str| {
            assert_eq!(sent(&[("https://a.test/auth/login", &[line])], to), wanted, "{line} to {to}");
        };
        check("SID=1; Path=/", "https://a.test/x", "SID=1");
        check("SID=1", "https://a.test/auth/token", "SID=1");
        check("SID=1", "https://a.test/authx", "");
        check("SID=1", "https://a.test/", "");
        check("SID=1; Path=/", "https://b.test/", "");
        check("SID=1; Path=/; Domain=.a.test", "https://a.test/", "SID=1");
        check("SID=1; Path=/; Domain=test", "https://b.test/", "");
        check("SID=1; Path=/; Domain=b.test", "https://a.test/", "");
        check("SID=1; Path=/; Domain=b.test", "https://b.test/", "");
        check("SID=1; Path=/; Secure", "https://a.test/", "SID=1");
        check("SID=1; Path=/; Secure", "http://a.test/", "");
        check("SID=1; path=/; secure; HttpOnly; SameSite=Lax", "https://a.test:444/", "SID=1");
        check("SID=\"a b\"; Path=/", "https://a.test/", "SID=\"a b\"");
        check("=x; Path=/", "https://a.test/", "");
        check("SID", "https://a.test/", "");
        check("SID=1; Max-Age=0; Path=/", "https://a.test/", "");
    }

    #[test]
    fn later_words_replace_earlier_ones_and_removals_take_away() {
        let set = |lines| {
            sent(&[("https://a.test/", &["SID=1; Path=/", "X=2"]), ("https://a.test/", lines)], "https://a.test/")
        };
        assert_eq!(set(&["SID=3; Path=/"]), "X=2; SID=3");
        assert_eq!(set(&["SID=; Path=/; Max-Age=0"]), "X=2");
        assert_eq!(set(&["SID=x; Path=/; Expires=Thu, 01-Jan-1970 00:00:00 GMT"]), "X=2");
        assert_eq!(set(&["SID=deep; Path=/", "SID=other; Path=/deeper"]), "X=2; SID=deep");
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"]
        {
            let cookie = SetCookie::parse(&format!("a=b; Expires={date}")).unwrap();
            let at = cookie.expires.map(|at| at.duration_since(UNIX_EPOCH).unwrap());
            assert_eq!(at, Some(Duration::from_secs(784_111_777)), "{date}");
        }
        assert_eq!(SetCookie::parse("a=b; Expires=soon; Max-Age=x").unwrap().expires, None);
    }

    #[test]
    fn a_jar_shows_no_value() {
        let shown = format!("{:?}", SetCookie::parse("SID=hunter2; Path=/").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
