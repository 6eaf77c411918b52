//! How far a request may still go: `Max-Forwards` (RFC 9110 §7.6.2), which OPTIONS and TRACE have for tests of the way. TRACE goes
//! nowhere from here, and of other methods it says nothing.

use http::header::{HeaderMap, HeaderValue, MAX_FORWARDS};
use http::{Method, Response, StatusCode};

use super::problem::PROXY_STATUS;

/// Takes one step off; whether there was none left, so that the request ends here.
pub(super) fn count_down(method: &Method, headers: &mut HeaderMap) -> bool {
    if *method != Method::OPTIONS {
        return false;
    }
    let Some(left) = headers.get(MAX_FORWARDS).and_then(|left| left.to_str().ok()?.parse::<u64>().ok()) else {
        return false;
    };
    if let Some(left) = left.checked_sub(1) {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    }
    left == 0
}

/// The answer to a request that ends here: we have no methods of our own to name.
pub(super) fn answer() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(PROXY_STATUS, HeaderValue::from_static("bearerd; details=\"Max-Forwards is 0\""));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_taken_off_of_options_alone_and_none_is_left_of_nothing() {
        let check = |method: &Method, max: &str, ends: bool, left: &str| {
            let mut headers = HeaderMap::from_iter([(MAX_FORWARDS, HeaderValue::from_str(max).unwrap())]);
            assert_eq!(count_down(method, &mut headers), ends, "{method} {max}");
            assert_eq!(headers[MAX_FORWARDS], left, "{method} {max}");
        };
        check(&Method::OPTIONS, "0", true, "0");
        check(&Method::OPTIONS, "1", false, "0");
        check(&Method::OPTIONS, "10", false, "9");
        check(&Method::OPTIONS, "-1", false, "-1");
        check(&Method::OPTIONS, "many", false, "many");
        check(&Method::GET, "0", false, "0");
        check(&Method::POST, "1", false, "1");
        assert!(!count_down(&Method::OPTIONS, &mut HeaderMap::new()));
    }

    #[test]
    fn who_answers_is_said() {
        let answer = answer();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert!(answer.headers()[PROXY_STATUS].to_str().unwrap().starts_with("bearerd;"));
    }
}
