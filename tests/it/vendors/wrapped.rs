//! Client credentials without `grant_type`, and everything wrapped.

use super::{Vendor, at, pairs, sorted};
use crate::support::{FLOOR, Reply, seconds};

const SECRET: &str = "wrapped-canary-secret";

fn refusal(status: u16) -> Reply {
    let (code, reason, message) = match status {
        400 => ("400013", "invalid_request", "Missing or invalid parameters"),
        401 => ("401021", "invalid_client", "Invalid client_id, client_secret, or session_key"),
        500 => ("500999", "API_ERROR", "Api Error, please contact customer service"),
        // 403 and 404 hold a JSON text in a string.
        _ => return Reply::json(status, r#"{"error":"{\"code\":\"403001\",\"message\":\"IP not allowed here\"}"}"#),
    };
    let body = serde_json::json!({ "error": { "code": code, "code_reason": reason, "message": message } });
    Reply::json(status, body.to_string())
}

fn vendor(lifetime: u64) -> Vendor {
    let vendor = Vendor::load("wrapped", lifetime, &[("client_secret", SECRET)]);
    vendor.endpoint.always(at("/v1/auth/token", |request, tokens| {
        if request.form().len() != 2 {
            return refusal(400);
        }
        if request.field("client_secret").as_deref() != Some(SECRET) {
            return refusal(401);
        }
        let data = serde_json::json!({
            "access_token": format!("sk-{}", tokens.issue()), "token_type": "Bearer", "expires_in": tokens.lifetime()
        });
        Reply::json(200, serde_json::json!({ "data": data }).to_string())
    }));
    vendor.upstream.expect_token_in("authorization", "Bearer sk-");
    vendor
}

#[test]
fn the_example_goes_through_first_token_renewal_and_revocation() {
    vendor(3).lives("/v1/models");
}

#[test]
fn the_request_has_exactly_the_documented_fields() {
    let vendor = vendor(3_600);
    let _bearerd = vendor.setup.start_ready();
    let request = vendor.endpoint.requests().remove(0);
    let id = request.field("client_id").unwrap();
    assert_eq!(sorted(request.form()), pairs(&[("client_id", &id), ("client_secret", SECRET)]));
    assert!(!request.fields.has("authorization"));
}

#[test]
fn a_wrong_secret_is_recognised_inside_the_envelope() {
    let vendor = vendor(3_600);
    vendor.setup.secret_file("client_secret", "wrong-canary");
    vendor.is_refused("/v1/models", "T021", "Invalid client_id, client_secret, or session_key");
}

#[test]
fn an_error_that_is_a_json_text_in_a_string_is_shown() {
    for status in [403, 404] {
        let vendor = vendor(3_600);
        vendor.endpoint.always(refusal(status));
        vendor.is_refused("/v1/models", "T020", "IP not allowed here");
    }
}

#[test]
fn a_400_is_refused() {
    let vendor = vendor(3_600);
    vendor.endpoint.always(refusal(400));
    vendor.is_refused("/v1/models", "T020", "Missing or invalid parameters");
}

#[test]
fn a_500_is_a_failure_for_now() {
    let vendor = vendor(3_600);
    vendor.endpoint.next([refusal(500)]);
    vendor.recovers("/v1/models", "T013", "please contact customer service");
    let times: Vec<_> = vendor.endpoint.requests().iter().map(|request| request.at).collect();
    assert!(times.len() == 2 && times[1] - times[0] >= seconds(FLOOR));
}
