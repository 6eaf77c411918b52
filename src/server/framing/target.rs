//! The request target (RFC 9112 §3.2): which forms there are, and which bytes.
//!
//! Pure. Refuses what is in none of the forms; which path and which authority are served is decided by others.

use std::net::Ipv6Addr;

/// Longer ones have no place in a `Uri`.
const LONGEST: usize = u16::MAX as usize - 2;

/// Checks a target of any method but CONNECT: origin-form, absolute-form or asterisk-form.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(target: &[u8]) -> Result<(), &'static str> {
    if target.len() > LONGEST {
        return Err("the request target is too long");
    }
    let path = match target.first() {
        Some(b'/') => target,
        Some(b'*') if target.len() == 1 => return Ok(()),
        _ => after_authority(target)?,
    };
    if memchr::memchr(b'#', path).is_some() {
        // RFC 9110 §4.1: a fragment is never sent; some readers cut there and others do not.
        return Err("the request target has a fragment");
    }
    let query = memchr::memchr(b'?', path).unwrap_or(path.len());
    let (path, query) = path.split_at_checked(query).unwrap_or((path, b""));
    // Without an early end, so that many bytes are looked at at once.
    let are_legal = |bytes: &[u8], is_query| bytes.iter().fold(true, |all, byte| all & is_target_byte(*byte, is_query));
    if !are_legal(path, false) || !are_legal(query, true) {
        return Err("the request target has a character that must be percent-encoded in a URL");
    }
    Ok(())
}

/// Path and query of an absolute-form: what follows scheme and authority.
fn after_authority(target: &[u8]) -> Result<&[u8], &'static str> {
    const NEITHER: &str = "the request target is neither a path nor a URL";
    let scheme = target.iter().position(|byte| *byte == b':').ok_or(NEITHER)?;
    let (scheme, rest) = target.split_at_checked(scheme).ok_or(NEITHER)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(NEITHER);
    }
    let rest = rest.strip_prefix(b"://").ok_or(NEITHER)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(NEITHER)?;
    if !is_authority(authority) {
        return Err("the request target's authority is no host with an optional port");
    }
    Ok(path)
}

/// `host [":" port]`. User information is refused (RFC 9110 §4.2.4): it makes one host look like another.
fn is_authority(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(literal) = authority.strip_prefix('[') {
        let Some((address, after)) = literal.split_once(']') else { return false };
        let port = if after.is_empty() { Some("") } else { after.strip_prefix(':') };
        return address.parse::<Ipv6Addr>().is_ok() && port.is_some_and(is_port);
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !host.is_empty() && host.bytes().all(is_host_byte) && is_port(port)
}

/// Visible ASCII (RFC 9112 §3.2): wider than RFC 3986 where clients are known to be (`{`, `|`), and no wider than what
/// [`http::Uri`] keeps. Strict upstreams refuse other bytes, and lenient ones disagree about their encoding.
const fn is_target_byte(byte: u8, is_query: bool) -> bool {
    let elsewhere = if is_query { b'"' } else { b'`' };
    byte.is_ascii_graphic() & (byte != b'<') & (byte != b'>') & (byte != elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_a_url_or_an_asterisk() {
        for target in [
            "/",
            "/a/../b;c?d=e&f[]=g",
            "//a",
            "/%2e%2e/\\x",
            "/{\"a\":1}|^?q={a:1}`",
            "/?a?b",
            "*",
            "http://localhost",
            "HTTP://LOCALHOST:80/x",
            "https://a_b.c~d-e",
            "http://a:/",
            "http://[::1]:8080/x?y",
            "http://a?b",
        ] {
            assert_eq!(check(target.as_bytes()), Ok(()), "{target}");
            assert!(target.parse::<http::Uri>().is_ok(), "{target}");
        }
        for target in [
            "",
            "a",
            "a/b",
            "**",
            "*/",
            "?",
            "?a",
            "#",
            "/#",
            "/a#b",
            "/?a#b",
            ":80",
            ":80@evil",
            "@evil",
            ".evil",
            "\\\\evil",
            "localhost",
            "localhost:80",
            "http:",
            "http:/",
            "http://",
            "http:///x",
            "http://?",
            "http://a#",
            "http://a b",
            "http://u@a",
            "http://u:p@a/",
            "http://a:b",
            "http://a:1:2",
            "http://[::1",
            "http://[a]",
            "http://[::1]x",
            "http://a%41",
            "http://a\\b",
            "ftp://a/",
            "javascript:alert(1)",
            "/a\tb",
            "/\0",
            "/<",
            "/?<",
            "/?>",
            "/?\"",
            "/>",
            "/`",
            "/\x7f",
            "http//a",
            "http://a,b",
            "https:a",
        ] {
            assert!(check(target.as_bytes()).is_err(), "{target:?}");
        }
        assert!(check(b"/\xff").is_err());
        assert!(check("/ä".as_bytes()).is_err());
        assert!(check(&[b"/".as_slice(), &[b'a'; LONGEST]].concat()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn every_accepted_target_is_the_same_uri(target in "(/|\\*|https?://[a-z0-9.:@\\[\\]]{0,6})[!-\u{ff}]{0,12}") {
            if check(target.as_bytes()).is_ok() {
                let uri: http::Uri = target.parse().unwrap();
                let again = if uri.path() == "/" && !target.ends_with('/') { format!("{target}/") } else { target.clone() };
                let shown = uri.to_string();
                let same = shown.eq_ignore_ascii_case(&target) || shown.eq_ignore_ascii_case(&again) || target.contains('?');
                proptest::prop_assert!(same, "{} {}", target, shown);
            }
        }
    }
}
