//! A password login with an empty scope and its own error envelope.

use super::{Vendor, at, pairs, sorted};
use crate::support::{Reply, seconds};

const PASSWORD: &str = "org-canary-password";
const SECRET: &str = "org-canary-secret";

fn refusal(status: u16) -> Reply {
    let (detail, kind) = match status {
        401 => ("Authentication failed", "authentication_error"),
        422 => ("Validation failed", "validation_error"),
        429 => ("Too many requests", "rate_limit_error"),
        _ => ("Something else happened", "api_error"),
    };
    let mut body = serde_json::json!({ "code": status, "detail": detail, "type": kind });
    if status == 422 {
        body["errors"] = serde_json::json!([{ "location": "body.scope", "message": "required", "type": "missing" }]);
    }
    Reply::json(status, body.to_string())
}

fn vendor_with(lifetime: u64, default_lifetime: Option<&'static str>) -> Vendor {
    let secrets = [("password", PASSWORD), ("client_secret", SECRET)];
    let vendor = Vendor::load_edited("orglogin", lifetime, &secrets, |file| {
        if let Some(lifetime) = default_lifetime {
            *super::member(file, &["credentials", "orglogin", "response", "default_lifetime"]) = lifetime.into();
        }
    });
    vendor.endpoint.always(at("/api/v1/auth/login", |request, tokens| {
        // Present, and empty.
        if request.field("scope").as_deref() != Some("") || request.field("grant_type").as_deref() != Some("password") {
            return refusal(422);
        }
        let field = |name: &str| request.field(name).unwrap_or_default();
        if field("password") != PASSWORD || field("client_secret") != SECRET {
            return refusal(401);
        }
        let body = serde_json::json!({ "access_token": tokens.issue(), "orgs": [{ "id": 7, "name": "Example" }] });
        Reply::json(200, body.to_string())
    }));
    vendor
}

fn vendor() -> Vendor {
    vendor_with(900, None)
}

#[test]
fn the_example_goes_through_first_token_renewal_and_revocation() {
    // The answer says nothing of a lifetime, so the configured one is shortened with the tokens.
    vendor_with(3, Some("3s")).lives("/api/v1/orgs");
}

#[test]
fn the_request_has_exactly_the_documented_fields() {
    let vendor = vendor();
    let bearerd = vendor.setup.start_ready();
    vendor.get(&bearerd, "/api/v1/orgs").expect(200);
    let request = vendor.endpoint.requests().remove(0);
    let id = request.field("client_id").unwrap();
    let wanted = [
        ("client_id", id.as_str()),
        ("client_secret", SECRET),
        ("grant_type", "password"),
        ("username", "robot@example.com"),
        ("password", PASSWORD),
        ("scope", ""),
    ];
    assert_eq!(sorted(request.form()), pairs(&wanted));
    assert!(!request.fields.has("authorization"));
    vendor.heals(&bearerd, "/api/v1/orgs");
}

#[test]
fn a_wrong_password_is_tried_once_and_told_in_the_vendors_words() {
    let vendor = vendor();
    vendor.setup.secret_file("password", "wrong-canary");
    vendor.is_refused("/api/v1/orgs", "T021", "Authentication failed");
}

#[test]
fn a_429_is_obeyed() {
    let vendor = vendor();
    vendor.endpoint.next([refusal(429).with("Retry-After", "3")]);
    vendor.recovers("/api/v1/orgs", "T014", "Too many requests");
    let times: Vec<_> = vendor.endpoint.requests().iter().map(|request| request.at).collect();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= seconds(2.95), "{:?}", times[1] - times[0]);
}

#[test]
fn every_other_4xx_of_the_table_is_refused_and_not_hammered() {
    for status in [400, 403, 404, 409, 422, 426] {
        let vendor = vendor();
        vendor.endpoint.always(refusal(status));
        let words = if status == 422 { "Validation failed" } else { "Something else happened" };
        let bearerd = vendor.setup.start();
        bearerd.wait_for_log("T020", 5.0);
        let line = bearerd.log_with("T020").join("\n");
        assert!(line.contains(words), "{status}: {words:?} is not in {line}");
        vendor.get(&bearerd, "/api/v1/orgs").expect_problem(503, "T020");
        assert_eq!(vendor.endpoint.count(), 1, "{status}");
    }
}

#[test]
fn a_5xx_is_a_failure_for_now() {
    for status in [500, 502, 504] {
        let vendor = vendor();
        vendor.endpoint.always(refusal(status));
        let bearerd = vendor.setup.start();
        bearerd.wait_for_log("T013", 5.0);
        assert!(bearerd.log_with("T013").join("\n").contains("Something else happened"), "{status}");
        assert_eq!(vendor.metric(&bearerd, "bearerd_token_latched"), 0.0);
    }
}
