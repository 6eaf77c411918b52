//! Standard client credentials with an audience, scopes, and a 403 that is not about the token.

use super::{Vendor, at, pairs, sorted};
use crate::support::Reply;

const SECRET: &str = "auth0-canary-secret_77";

fn vendor(lifetime: u64) -> Vendor {
    let vendor = Vendor::load("auth0", lifetime, &[("client_secret", SECRET)]);
    vendor.endpoint.always(at("/oauth/token", |request, tokens| {
        let field = |name: &str| request.field(name).unwrap_or_default();
        if field("grant_type") != "client_credentials" || field("client_secret") != SECRET {
            return Reply::json(401, r#"{"error":"access_denied","error_description":"Unauthorized"}"#);
        }
        if field("audience").is_empty() {
            return Reply::json(
                403,
                r#"{"error":"access_denied","error_description":"Non-global clients are not allowed"}"#,
            );
        }
        let (token, lifetime) = (tokens.issue(), tokens.lifetime());
        Reply::json(
            200,
            format!(
                r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{lifetime},"scope":"read:items"}}"#
            ),
        )
    }));
    // The quickstart's API.
    vendor.upstream.on("/api/public", |exchange| exchange.answer(200, &[], "public"));
    vendor.upstream.on("/api/private-scoped", |exchange| {
        if !exchange.token_is_live() {
            return exchange.deny();
        }
        let challenge = r#"Bearer realm="api", error="insufficient_scope", scope="read:messages""#;
        let body = r#"{"error":"insufficient_scope","error_description":"Insufficient Scope"}"#;
        exchange.answer(403, &[("WWW-Authenticate", challenge)], body)
    });
    vendor
}

#[test]
fn the_example_goes_through_first_token_renewal_and_revocation() {
    vendor(3).lives("/api/private");
}

#[test]
fn the_request_has_exactly_the_documented_fields() {
    let vendor = vendor(86_400);
    let bearerd = vendor.setup.start_ready();
    vendor.get(&bearerd, "/api/public").expect(200);
    let request = vendor.endpoint.requests().remove(0);
    let id = request.field("client_id").unwrap();
    let wanted = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", SECRET),
        ("audience", "https://api.example.com/"),
    ];
    assert_eq!(sorted(request.form()), pairs(&wanted));
    assert!(!request.fields.has("authorization"));
}

#[test]
fn a_403_insufficient_scope_is_untouched_and_costs_no_token() {
    let vendor = vendor(86_400);
    let bearerd = vendor.setup.start_ready();
    for _ in 0..5 {
        let response = vendor.get(&bearerd, "/api/private-scoped").expect(403);
        assert_eq!(response.text(), r#"{"error":"insufficient_scope","error_description":"Insufficient Scope"}"#);
        assert!(response.field("www-authenticate").is_some_and(|value| value.contains("read:messages")));
        assert_eq!(response.field("proxy-status"), None);
    }
    assert_eq!((vendor.endpoint.count(), vendor.upstream.count()), (1, 5));
}

#[test]
fn a_wrong_secret_is_tried_once() {
    let vendor = vendor(86_400);
    vendor.setup.secret_file("client_secret", "another-canary");
    vendor.is_refused("/api/private", "T021", "access_denied");
}
