//! A login with an extra required field, a lifetime that only the token tells, and a permanent mistake under a 500.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Vendor, at, jwt, pairs, sorted};
use crate::support::{Reply, Tokens, seconds};

const PASSWORD: &str = "klear-canary-p&ss";
const REFUSAL: &str = "One or Many Required parameters from company name must be missing, E.g error \"Company Name\",";

fn login(fields: &[(String, String)], tokens: &Tokens) -> Reply {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let complete = field("username").is_some() && field("company_name") == Some("Example GmbH");
    if !complete || field("password") != Some(PASSWORD) {
        return Reply::text(500, "text/plain", REFUSAL);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = |kind: &str, lifetime: u64| {
        let jti = NUMBER.fetch_add(1, Ordering::Relaxed);
        jwt(&serde_json::json!({ "token_type": kind, "exp": now + lifetime, "iat": now, "jti": jti, "user_id": 26 }))
    };
    let access = token("access", tokens.lifetime());
    tokens.register(&access);
    let refresh = token("refresh", 86_400);
    tokens.canaries().add(&refresh);
    let body = serde_json::json!({ "refresh_token": refresh, "access_token": access, "release_version": "7.8.9" });
    Reply::json(200, body.to_string())
}

fn vendor(lifetime: u64) -> Vendor {
    let vendor = Vendor::load("klearstack", lifetime, &[("password", PASSWORD)]);
    vendor.endpoint.always(at("/access/klearstack/get_access_token", |request, tokens| login(&request.form(), tokens)));
    vendor
}

#[test]
fn the_example_goes_through_first_token_renewal_and_revocation() {
    vendor(3).lives("/documents");
}

#[test]
fn the_request_has_exactly_the_documented_fields() {
    let vendor = vendor(120);
    let bearerd = vendor.setup.start_ready();
    let request = vendor.endpoint.requests().remove(0);
    let wanted = [("username", "invoices@example.com"), ("password", PASSWORD), ("company_name", "Example GmbH")];
    assert_eq!(sorted(request.form()), pairs(&wanted));
    assert!(!request.fields.has("authorization"));
    // The lifetime is the token's own: two minutes.
    let ends = vendor.metric(&bearerd, "bearerd_token_expiry_timestamp_seconds");
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((100.0..=121.0).contains(&(ends - wall)), "lives {} s", ends - wall);
}

#[test]
fn the_same_fields_travel_as_multipart_with_the_vendors_basic_header() {
    let vendor = Vendor::load_edited("klearstack", 300, &[("password", PASSWORD)], |file| {
        let credential = super::member(file, &["credentials", "klearstack"]).as_table_mut().unwrap();
        credential.insert("encoding".to_owned(), "multipart".into());
        let headers: toml::Table = "authorization = \"Basic QVBJX0tFWTo=\"".parse().unwrap();
        credential.insert("headers".to_owned(), headers.into());
    });
    vendor.endpoint.always(at("/access/klearstack/get_access_token", |request, tokens| {
        if request.fields.first("authorization") != Some("Basic QVBJX0tFWTo=") {
            return Reply::json(401, "{}");
        }
        login(&multipart(request), tokens)
    }));
    let bearerd = vendor.setup.start_ready();
    vendor.get(&bearerd, "/documents").expect(200);
}

#[test]
fn the_500_for_a_wrong_field_is_permanent() {
    let vendor = vendor(300);
    vendor.setup.secret_file("password", "wrong-canary");
    vendor.is_refused("/documents", "T021", "One or Many Required parameters");
}

#[test]
fn another_500_is_only_a_failure_for_now_and_the_old_token_stays() {
    let vendor = vendor(4);
    let bearerd = vendor.setup.start_ready();
    vendor.endpoint.always(Reply::text(500, "text/plain", "database is away"));
    bearerd.wait_for_log("T013", 6.0);
    vendor.get(&bearerd, "/documents").expect(200);
    assert_eq!(vendor.metric(&bearerd, "bearerd_token_latched"), 0.0);
    // A login was answered with a 5xx, which may count as an attempt: nothing follows within seconds.
    let count = vendor.endpoint.count();
    crate::support::throughout("no further attempt", seconds(2.0), || vendor.endpoint.count() == count);
}

/// The parts of `multipart/form-data` (RFC 7578), each a name and a value.
fn multipart(request: &crate::support::token_endpoint::TokenRequest) -> Vec<(String, String)> {
    let content_type = request.fields.first("content-type").unwrap_or_default();
    let Some(boundary) = content_type.strip_prefix("multipart/form-data; boundary=") else { return Vec::new() };
    let text = request.text();
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let parts = text.split(&delimiter).filter_map(|part| part.strip_suffix("\r\n")?.split_once("\r\n\r\n"));
    parts
        .filter_map(|(head, value)| {
            let name = head.split_once("name=\"")?.1.split_once('"')?.0;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}
