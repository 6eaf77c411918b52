//! Our entry in `Via` (RFC 9110 §7.6.3): the version of HTTP that a message has come by, and a name by which we know what comes back.

use http::Version;
use http::header::{HeaderMap, HeaderValue, VIA};

use super::share;

/// What we say in requests.
#[derive(Clone, Debug)]
pub struct Via {
    name: String,
    http10: HeaderValue,
    http11: HeaderValue,
    http2: HeaderValue,
}

impl Via {
    /// By this name, which is a token.
    pub fn named(name: &str) -> Self {
        let entry = |version: &str| {
            HeaderValue::try_from(format!("{version} {name}"))
                .unwrap_or_else(|_| HeaderValue::from_static("1.1 bearerd"))
        };
        Self { name: name.to_owned(), http10: entry("1.0"), http11: entry("1.1"), http2: entry("2") }
    }

    /// The same with bytes of its own.
    pub(super) fn copied(&self) -> Self {
        let [http10, http11, http2] = [&self.http10, &self.http11, &self.http2].map(share::copied);
        Self { name: self.name.clone(), http10, http11, http2 }
    }

    /// The entry of a request that has come by this version.
    pub(super) fn of(&self, version: Version) -> &HeaderValue {
        match version {
            Version::HTTP_11 => &self.http11,
            Version::HTTP_2 => &self.http2,
            _ => &self.http10,
        }
    }

    /// Whether an entry of ours is there already, by whichever version the request had come.
    pub(super) fn stands_in(&self, headers: &HeaderMap) -> bool {
        let entries = headers.get_all(VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let mut names =
            entries.filter_map(|entry| entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1));
        names.any(|name| name == self.name.as_bytes())
    }
}

/// The entry of an answer that has come by this version. It needs no name: answers do not come back.
pub(super) fn of_answer(version: Version) -> HeaderValue {
    match version {
        Version::HTTP_11 => const { HeaderValue::from_static("1.1 bearerd") },
        Version::HTTP_2 => const { HeaderValue::from_static("2 bearerd") },
        _ => const { HeaderValue::from_static("1.0 bearerd") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_entry() {
        let via = Via::named("edge");
        let check = |version, request: &str, answer: &str| {
            assert_eq!(
                (via.of(version), of_answer(version)),
                (&HeaderValue::from_str(request).unwrap(), HeaderValue::from_str(answer).unwrap())
            );
        };
        check(Version::HTTP_10, "1.0 edge", "1.0 bearerd");
        check(Version::HTTP_11, "1.1 edge", "1.1 bearerd");
        check(Version::HTTP_2, "2 edge", "2 bearerd");
        let copied = via.copied();
        assert_eq!([copied.of(Version::HTTP_11), copied.of(Version::HTTP_2)], ["1.1 edge", "2 edge"]);
    }

    #[test]
    fn what_comes_back_is_known_by_the_name_alone() {
        let stands = |lines: &[&'static str]| {
            let headers = lines.iter().map(|line| (VIA, HeaderValue::from_static(line))).collect();
            Via::named("edge").stands_in(&headers)
        };
        assert!(stands(&["1.1 edge"]));
        assert!(stands(&["2  edge"]));
        assert!(stands(&["1.0 fred, 1.1 edge (bearerd), 1.1 other"]));
        assert!(stands(&["1.0 fred", "HTTP/1.1 edge"]));
        assert!(!stands(&[]));
        assert!(!stands(&["1.1 edges, 1.1 fred edge"]));
        assert!(!stands(&["edge"]));
    }
}
