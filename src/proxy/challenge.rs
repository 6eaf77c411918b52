//! What a Bearer challenge says went wrong (RFC 6750 §3, RFC 9110 §11.6.1).

use http::header::{HeaderMap, WWW_AUTHENTICATE};

/// The `error` codes of all Bearer challenges in an answer.
pub(super) fn bearer_errors(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(errors_of_line).collect()
}

/// Walks one field line: schemes and their parameters, separated by commas.
fn errors_of_line(line: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let mut in_bearer = false;
    for item in split_outside_quotes(line) {
        let (scheme, parameter) = scheme_and_parameter(item.trim());
        if let Some(scheme) = scheme {
            in_bearer = scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("DPoP");
        }
        if let Some((name, value)) = parameter.split_once('=')
            && in_bearer
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
            assert_eq!(bearer_errors(&headers), wanted, "{lines:?}");
        };
        check(&[r#"Bearer error="invalid_token""#], &["invalid_token"]);
        check(&[r#"Bearer realm="a, b", error="invalid_token", error_description="x=\"y\", z""#], &["invalid_token"]);
        check(&["bearer error=invalid_token"], &["invalid_token"]);
        check(&[r#"Basic realm="x", Bearer realm="y", error="insufficient_scope""#], &["insufficient_scope"]);
        check(&[r#"Basic realm="x", error="invalid_token""#], &[]);
        check(&["Basic realm=\"x\"", r#"Bearer error="invalid_token""#], &["invalid_token"]);
        check(&["Bearer"], &[]);
        check(&[r#"Bearer error = "invalid_token""#], &["invalid_token"]);
        check(&[r#"Bearer error_description="error=\"invalid_token\"""#], &[]);
        check(&[""], &[]);
        check(&["\"", ",,,=", "Bearer =,error"], &[]);
    }
}
