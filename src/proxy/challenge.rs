//! What a Bearer or DPoP challenge says went wrong (RFC 6750 §3, RFC 9449 §7.1, RFC 9110 §11.6.1).

use http::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::dpop::SCHEME;

/// The `error` codes of all challenges in an answer that speak of the token, be it bound to a key or not.
pub(super) fn token_errors(headers: &HeaderMap) -> Vec<String> {
    errors(headers, |scheme| scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case(SCHEME))
}

/// The `error` codes of all DPoP challenges in an answer.
pub(super) fn dpop_errors(headers: &HeaderMap) -> Vec<String> {
    errors(headers, |scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

fn errors(headers: &HeaderMap, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| errors_of_line(line, &is_meant)).collect()
}

/// Walks one field line: schemes and their parameters, separated by commas.
fn errors_of_line(line: &str, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let mut errors = Vec::new();
    let mut is_in = false;
    for item in split_outside_quotes(line) {
        let (scheme, parameter) = scheme_and_parameter(item.trim());
        if let Some(scheme) = scheme {
            is_in = is_meant(scheme);
        }
        if let Some((name, value)) = parameter.split_once('=')
            && is_in
            && name.trim().eq_ignore_ascii_case("error")
        {
            errors.push(unquote(value.trim()));
        }
    }
    errors
}

/// `Bearer realm="x"` begins a challenge, `error="y"` goes on with one.
fn scheme_and_parameter(item: &str) -> (Option<&str>, &str) {
    let Some((first, rest)) = item.split_once([' ', '\t']) else {
        return if item.contains('=') { (None, item) } else { (Some(item), "") };
    };
    if first.contains('=') || rest.trim_start().starts_with('=') {
        (None, item)
    } else {
        (Some(first), rest.trim_start())
    }
}

fn split_outside_quotes(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(|c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => (),
        }
        c == ',' && !quoted
    })
    .collect()
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            '"' => break,
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_bearer_challenge_is_found() {
        let check = |lines: &[&str], wanted: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(WWW_AUTHENTICATE, line.parse().unwrap());
            }
            assert_eq!(token_errors(&headers), wanted, "{lines:?}");
        };
        check(&[r#"Bearer error="invalid_token""#], &["invalid_token"]);
        check(&[r#"Bearer realm="a, b", error="invalid_token", error_description="x=\"y\", z""#], &["invalid_token"]);
        check(&["bearer error=invalid_token"], &["invalid_token"]);
        check(&[r#"Basic realm="x", Bearer realm="y", error="insufficient_scope""#], &["insufficient_scope"]);
        check(&[r#"Basic realm="x", error="invalid_token""#], &[]);
        check(&["Basic realm=\"x\"", r#"Bearer error="invalid_token""#], &["invalid_token"]);
        check(&[r#"DPoP algs="ES256", error="invalid_token""#], &["invalid_token"]);
        check(&["Bearer"], &[]);
        check(&[r#"Bearer error = "invalid_token""#], &["invalid_token"]);
        check(&[r#"Bearer error_description="error=\"invalid_token\"""#], &[]);
        check(&[""], &[]);
        check(&["\"", ",,,=", "Bearer =,error"], &[]);
    }

    #[test]
    fn the_errors_of_dpop_challenges_are_told_apart() {
        let check = |line: &str, wanted: &[&str]| {
            let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, line.parse().unwrap())]);
            assert_eq!(dpop_errors(&headers), wanted, "{line}");
        };
        check(
            r#"DPoP error="use_dpop_nonce", error_description="Resource server requires nonce""#,
            &["use_dpop_nonce"],
        );
        check(r#"Bearer error="use_dpop_nonce""#, &[]);
        check(r#"Bearer realm="x", DPoP realm="x", error="invalid_token", algs="ES256 PS256""#, &["invalid_token"]);
        check(r#"DPoP algs="ES256", Bearer error="invalid_token""#, &[]);
        check(r#"dpop error=use_dpop_nonce, Basic realm="error=\"invalid_dpop_proof\"""#, &["use_dpop_nonce"]);
    }
}
