//! Places for a token besides a header field of its own: a cookie, a parameter of the query.
//!
//! Owns the rule that exactly one value reaches the upstream: whatever a caller sends under the same name goes, in every spelling in
//! which some server would read it, and the rest stays byte for byte. Pure functions; strip first, then set (`outbound`).

use std::borrow::Cow;

use http::header::{COOKIE, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// All but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest path with its query that is sent, in bytes: `http` counts them in 16 bits.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// Takes the cookie of this name out of all `Cookie` lines, which become one.
pub(super) fn strip_cookie(headers: &mut HeaderMap, name: &str) {
    if !headers.contains_key(COOKIE) {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let pairs = lines.iter().flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && !names_cookie(pair, name)).collect();
    // Made of legal values with legal bytes.
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok().filter(|line| !line.is_empty());
    headers.remove(COOKIE);
    headers.extend(kept.map(|line| (COOKIE, line)));
}

/// Whether some server would read a cookie of this name in a pair. Parsers of old end a pair at white space, commas and quotation
/// marks too.
fn names_cookie(pair: &[u8], name: &str) -> bool {
    let pieces = pair.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'"'));
    // PHP's names may hold all of these. A name with nothing behind it is a pair to some (RFC 6265 §5.2 ignores it).
    let mut names = pieces.chain([pair]).map(|piece| piece.split(|byte| *byte == b'=').next().unwrap_or_default());
    names.any(|found| means(found, name))
}

/// Whether a `Set-Cookie` line speaks of the cookie of this name.
pub(super) fn sets_cookie(line: &[u8], name: &str) -> bool {
    let pair = line.split(|byte| *byte == b';').next().unwrap_or_default();
    means(pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii(), name)
}

/// The `Cookie` line with the token behind the caller's other cookies.
pub(crate) fn with_cookie(others: Option<&HeaderValue>, name: &str, token: &Secret) -> Option<HeaderValue> {
    let mut line = Zeroizing::new(Vec::new());
    if let Some(others) = others {
        line.extend_from_slice(others.as_bytes());
        line.extend_from_slice(b"; ");
    }
    for piece in [name, "=", token.expose()] {
        line.extend_from_slice(piece.as_bytes());
    }
    let mut value = HeaderValue::from_bytes(&line).ok()?;
    // Kept out of `Debug` output and of HPACK's tables (RFC 7541 §7.1.3).
    value.set_sensitive(true);
    Some(value)
}

/// The target without parameters of this name; `None` if it has none.
pub(super) fn without_parameter(target: &PathAndQuery, name: &str) -> Option<PathAndQuery> {
    let query = stripped(target.query()?, name)?;
    let text = if query.is_empty() { target.path().to_owned() } else { format!("{}?{query}", target.path()) };
    // A part of what was legal.
    text.parse().ok()
}

/// The same for a reference of whatever kind (RFC 3986 §4.1), its fragment kept.
pub(super) fn without_parameter_in_reference(reference: &str, name: &str) -> Option<String> {
    let (rest, fragment) = reference.split_once('#').map_or((reference, None), |(rest, part)| (rest, Some(part)));
    let (path, query) = rest.split_once('?')?;
    let query = stripped(query, name)?;
    let mut text = path.to_owned();
    for (mark, part) in [('?', Some(&*query).filter(|query| !query.is_empty())), ('#', fragment)] {
        if let Some(part) = part {
            text.push(mark);
            text.push_str(part);
        }
    }
    Some(text)
}

/// The target with the token in its query; `None` if that is longer than any target.
pub(crate) fn with_parameter(target: &PathAndQuery, name: &str, token: &Secret) -> Option<PathAndQuery> {
    let mut text = target.as_str().to_owned();
    if !text.starts_with(['/', '*']) {
        text.insert(0, '/');
    }
    let separator = match target.query() {
        None => "?",
        Some("") => "",
        Some(query) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    text.extend([separator, name, "="]);
    text.extend(utf8_percent_encode(token.expose(), RESERVED));
    if text.len() > LONGEST_TARGET { None } else { text.try_into().ok() }
}

/// The query without parameters of this name; `None` if it has none. Some servers take `;` for `&`.
fn stripped<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let found = |piece: &str| means_parameter(piece, name);
    if !query.split(['&', ';']).any(found) {
        return None;
    }
    let mut kept = String::with_capacity(query.len());
    let mut is_first = true;
    for piece in query.split_inclusive(['&', ';']) {
        let (bare, separator) = match piece.strip_suffix(['&', ';']) {
            Some(bare) => (bare, piece.get(bare.len()..).unwrap_or_default()),
            None => (piece, ""),
        };
        if !found(bare) {
            kept.push_str(bare);
            kept.push_str(separator);
            is_first = false;
        }
    }
    // What stood last has no separator behind it any more, unless the caller wrote one.
    if !is_first && !query.ends_with(['&', ';']) {
        kept.truncate(kept.trim_end_matches(['&', ';']).len());
    }
    Some(Cow::Owned(kept))
}

fn means_parameter(piece: &str, name: &str) -> bool {
    let found = piece.split('=').next().unwrap_or_default().replace('+', " ");
    means(found.as_bytes(), name)
}

/// Whether some server would take `found` for `name`: decoded, whatever its case, and read as one of them reads names of lists.
fn means(found: &[u8], name: &str) -> bool {
    let decoded: Cow<'_, [u8]> = percent_decode(found).into();
    let decoded = decoded.trim_ascii();
    // C ends a text here.
    let decoded = decoded.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_bracket = |byte: &u8| matches!(byte, b'[' | b']');
    // `qs` takes `[name]` for `name`, and Rack brackets of any kind and number before it.
    let inner = decoded.iter().position(|byte| !is_bracket(byte)).and_then(|start| decoded.get(start..));
    // An element of a list of that name.
    let bare = inner.and_then(|inner| inner.split(is_bracket).next()).unwrap_or_default();
    // PHP knows no list that is not closed: `auth[token` is `auth_token`.
    is_same(decoded, name) || is_same(bare, name)
}

/// Whether the names are the same, whatever their case, to a server that turns what it likes in no name into underscores.
fn is_same(found: &[u8], name: &str) -> bool {
    let normal = |byte: &u8| if matches!(byte, b'.' | b' ' | b'[') { b'_' } else { byte.to_ascii_lowercase() };
    found.len() == name.len() && found.iter().map(normal).eq(name.as_bytes().iter().map(normal))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_cookie_of_this_name_goes_and_others_stay() {
        let check = |lines: &[&str], wanted: Option<&str>| {
            let mut headers: HeaderMap = lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect();
            strip_cookie(&mut headers, "JSESSIONID");
            let found: Vec<_> = headers.get_all(COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{lines:?}");
        };
        check(&[], None);
        check(&["a=1; b=2"], Some("a=1; b=2"));
        check(&["JSESSIONID=evil"], None);
        check(&["a=1; JSESSIONID=evil; b=2"], Some("a=1; b=2"));
        check(&["a=1;JSESSIONID=evil", "b=\"x y\"; jsessionid=evil"], Some("a=1; b=\"x y\""));
        check(&["a=1; %4aSESSIONID=evil"], Some("a=1"));
        check(&["a=1; JSESSIONID =evil; b=2"], Some("a=1; b=2"));
        check(&["a=1; JSESSIONID; b=2"], Some("a=1; b=2"));
        // Python's parser reads the second of these, and one of RFC 2965 the third.
        check(&["a=1 JSESSIONID=evil; b=2"], Some("b=2"));
        check(&["a=1,JSESSIONID=evil; b=2"], Some("b=2"));
        check(&["[JSESSIONID]=evil; JSESSIONID[=evil; b=2"], Some("b=2"));
        check(&["JSESSIONIDX=1; XJSESSIONID=2; a=JSESSIONID"], Some("JSESSIONIDX=1; XJSESSIONID=2; a=JSESSIONID"));
    }

    #[test]
    fn a_cookie_that_php_would_rename_to_it_goes_too() {
        let check = |line: &str| {
            let mut headers = HeaderMap::from_iter([(COOKIE, line.parse().unwrap())]);
            strip_cookie(&mut headers, "auth_token");
            assert_eq!(headers[COOKIE], "x=1; auth[token]=1", "{line}");
        };
        check("auth[token=evil; x=1; auth[token]=1");
        check("x=1; auth%5Btoken=evil; auth[token]=1");
        check("x=1; auth.token=evil; auth[token]=1");
        check("x=1; auth token=evil; auth[token]=1");
        check("x=1; auth[token%00=evil; auth[token]=1");
    }

    #[test]
    fn the_token_stands_behind_the_callers_cookies() {
        let token = Secret::new("t/k=");
        let line = |others: Option<&'static str>| {
            with_cookie(others.map(HeaderValue::from_static).as_ref(), "SID", &token).unwrap()
        };
        assert_eq!(line(None), "SID=t/k=");
        assert_eq!(line(Some("a=1; b=2")), "a=1; b=2; SID=t/k=");
        assert!(line(None).is_sensitive());
    }

    #[test]
    fn a_parameter_of_this_name_goes_in_every_spelling_and_the_rest_stays() {
        let check = |target: &str, wanted: &str| {
            let target: PathAndQuery = target.parse().unwrap();
            let stripped = without_parameter(&target, "access_token").unwrap_or(target.clone());
            assert_eq!(stripped.as_str(), wanted, "{target}");
        };
        check("/x", "/x");
        check("/x?", "/x?");
        check("/x?a=1&b=%20+&c", "/x?a=1&b=%20+&c");
        check("/x?access_token=evil", "/x");
        check("/x?access_token", "/x");
        check("/x?a=1&access_token=evil", "/x?a=1");
        check("/x?access_token=evil&a=1", "/x?a=1");
        check("/x?a=1&access_token=evil&b=2&", "/x?a=1&b=2&");
        check("/x?a=1&access%5Ftoken=evil&%61ccess_token=e&b=2", "/x?a=1&b=2");
        check("/x?a=1;access_token=evil;b=2", "/x?a=1;b=2");
        check("/x?ACCESS_TOKEN=e&a=1", "/x?a=1");
        check("/x?access.token=e&access+token=e&access%20token=e&a=1", "/x?a=1");
        check("/x?access_token[]=e&access_token%5B0%5D=e&a=1", "/x?a=1");
        check("/x?+access_token=e&access_token%00x=e&a=1", "/x?a=1");
        check("/x?access[token=e&access%5Btoken=e&a=1", "/x?a=1");
        check("/x?[access_token]=e&%5Baccess_token%5D%5B0%5D=e&[[access_token=e&access_token]=e&a=1", "/x?a=1");
        check("/x?access[token]=1&a[access_token]=2", "/x?access[token]=1&a[access_token]=2");
        check(
            "/x?access_tokens=1&my_access_token=2&a=access_token",
            "/x?access_tokens=1&my_access_token=2&a=access_token",
        );
        check("/x?access%255Ftoken=1", "/x?access%255Ftoken=1");
    }

    #[test]
    fn the_token_is_the_last_parameter() {
        let check = |target: &'static str, wanted: &str| {
            let target = PathAndQuery::from_static(target);
            let with = with_parameter(&target, "key", &Secret::new("a b/ä&=")).unwrap();
            assert_eq!(with.as_str(), wanted);
        };
        check("/x", "/x?key=a%20b%2F%C3%A4%26%3D");
        check("/x?", "/x?key=a%20b%2F%C3%A4%26%3D");
        check("/x?a=1", "/x?a=1&key=a%20b%2F%C3%A4%26%3D");
        check("/x?a=1&", "/x?a=1&key=a%20b%2F%C3%A4%26%3D");
        let long: PathAndQuery = format!("/{}", "x".repeat(60_000)).parse().unwrap();
        assert!(with_parameter(&long, "key", &Secret::new("y".repeat(6000))).is_none());
    }

    #[test]
    fn references_lose_it_too() {
        let check = |reference: &str, wanted: Option<&str>| {
            assert_eq!(without_parameter_in_reference(reference, "key").as_deref(), wanted, "{reference}");
        };
        check("https://a.test/x?key=t", Some("https://a.test/x"));
        check("/x?a=1&key=t#part", Some("/x?a=1#part"));
        check("/x?a=1#key=t", None);
        check("/x", None);
    }

    #[test]
    fn set_cookie_is_recognised_by_its_name() {
        assert!(sets_cookie(b"SID=x; Path=/", "SID") && sets_cookie(b" sid = x", "SID"));
        assert!(!sets_cookie(b"SIDE=x; SID=y", "SID"));
    }

    proptest! {
        #[test]
        fn after_stripping_no_server_finds_the_parameter(query in "[a-cK&;=%+\\[46Bb]{0,40}") {
            let target: PathAndQuery = format!("/?{query}").parse().unwrap();
            let target = without_parameter(&target, "kb").unwrap_or(target);
            let query = target.query().unwrap_or_default();
            prop_assert!(form_urlencoded::parse(query.as_bytes()).all(|(name, _)| name != "kb"), "{}", query);
            let with = with_parameter(&target, "kb", &Secret::new("tok")).unwrap();
            let found: Vec<_> = form_urlencoded::parse(with.query().unwrap().as_bytes()).filter(|(name, _)| name == "kb").collect();
            prop_assert_eq!(found, vec![("kb".into(), "tok".into())]);
        }

        #[test]
        fn after_stripping_neither_php_nor_express_nor_rack_finds_it(query in r"([\[\].+]{0,2}k[_.+\[]b[\[\]kx]{0,3}[=&]){0,4}") {
            let target: PathAndQuery = format!("/?{query}").parse().unwrap();
            let target = without_parameter(&target, "k_b").unwrap_or(target);
            let query = target.query().unwrap_or_default();
            for (name, _) in form_urlencoded::parse(query.as_bytes()) {
                prop_assert!(php(&name) != "k_b" && express(&name) != "k_b" && rack(&name) != "k_b", "{}: {}", query, name);
            }
        }
    }

    /// `php_register_variable_ex`.
    fn php(name: &str) -> String {
        let name = name.trim_start_matches(' ');
        let end = name.find('[').filter(|at| name[*at..].contains(']')).unwrap_or(name.len());
        name[..end].replace(['.', ' ', '['], "_")
    }

    /// `parseKeys` of `qs`.
    fn express(name: &str) -> String {
        let brackets = |from: usize| {
            let open = from + name[from..].find('[')?;
            let close = open + 1 + name[open + 1..].find(['[', ']'])?;
            Some((open, close)).filter(|_| name.as_bytes()[close] == b']')
        };
        match brackets(0) {
            Some((0, close)) => name[1..close].to_owned(),
            Some((open, _)) => name[..open].to_owned(),
            None => name.to_owned(),
        }
    }

    /// `normalize_params` of Rack 2.
    fn rack(name: &str) -> String {
        name.trim_start_matches(['[', ']']).split(['[', ']']).next().unwrap_or_default().to_owned()
    }
}
