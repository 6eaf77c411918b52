//! Challenges as upstreams write them, and `Proxy-Status` as we do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken property is a panic, as in a test")]

use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::super::challenge::{dpop_errors, token_errors};
use super::super::problem::proxy_status as told;

/// What stands in quotation marks is never taken for a challenge; challenges of other schemes say nothing of the token; lines and
/// challenges after one another say what each says alone.
pub(crate) fn challenge(data: &[u8]) {
    let lines: Vec<HeaderValue> =
        data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()).take(8).collect();
    let errors_of = |lines: &[HeaderValue]| {
        let headers: HeaderMap = lines.iter().map(|line| (WWW_AUTHENTICATE, line.clone())).collect();
        let (of_token, of_dpop) = (token_errors(&headers), dpop_errors(&headers));
        let mut rest = of_token.iter();
        assert!(of_dpop.iter().all(|error| rest.any(|other| other == error)), "{of_dpop:?} in {of_token:?}");
        of_token
    };
    let one_by_one: Vec<String> = lines.iter().flat_map(|line| errors_of(std::slice::from_ref(line))).collect();
    assert_eq!(errors_of(&lines), one_by_one, "lines do not speak of each other");
    let text: String = String::from_utf8_lossy(data).chars().filter(|c| matches!(c, ' '..='~')).take(300).collect();
    let quoted = quoted(&text);
    let check = |line: String, wanted: &[&str]| {
        assert_eq!(errors_of(&[HeaderValue::from_str(&line).unwrap()]), wanted, "{line}");
    };
    check(format!("Basic realm={quoted}"), &[]);
    check(format!("Basic realm={quoted}, error={quoted}"), &[]);
    check(format!("Bearer realm={quoted}"), &[]);
    check(format!("Bearer error={quoted}"), &[&text]);
    check(format!("Bearer realm={quoted}, error=\"invalid_token\""), &["invalid_token"]);
    check(
        format!("Basic realm={quoted}, DPoP algs={quoted}, error=invalid_token, Basic error={quoted}"),
        &["invalid_token"],
    );
    if let Some(line) = lines.iter().find_map(|line| line.to_str().ok().filter(|line| is_balanced(line))) {
        let alone = errors_of(&[HeaderValue::from_str(line).unwrap()]);
        let with = errors_of(&[HeaderValue::from_str(&format!("{line}, Bearer error=\"x\"")).unwrap()]);
        assert_eq!(with, [&alone[..], &["x".to_owned()]].concat(), "{line}");
    }
}

/// Whatever a reason's text is, `Proxy-Status` is one item with one string (RFC 9209 §2.1), which says it, and nothing beside it.
pub(crate) fn proxy_status(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let value = told("error=connection_refused", "U001", &text);
    let shown = value.to_str().unwrap();
    let string =
        shown.strip_prefix("bearerd; error=connection_refused; details=\"").unwrap().strip_suffix('"').unwrap();
    // RFC 8941 §3.3.3: what is between the marks has none that is not escaped.
    let (mut said, mut characters) = (String::new(), string.chars());
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => said.push(escaped),
                other => panic!("{other:?} is escaped in {shown}"),
            },
            '"' => panic!("the string ends before its end: {shown}"),
            c => said.push(c),
        }
    }
    let wanted: String = text.chars().take(200).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    assert_eq!(said, format!("U001 {wanted}"));
}

/// RFC 9110 §5.6.4.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether every quotation mark that opens is closed.
fn is_balanced(line: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => (),
        }
    }
    !quoted
}
