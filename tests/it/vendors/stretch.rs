//! A gateway login whose fields travel in three ways and whose answers are half documented.

use super::{Vendor, at};
use crate::support::token_endpoint::TokenRequest;
use crate::support::{Reply, Tokens, seconds};

const PASSWORD: &str = "stretch-canary-password";
const PATH: &str = "/api/v1/gateway/auth/login";

fn login(request: &TokenRequest, tokens: &Tokens) -> Reply {
    let form = request.form();
    let query = request.query();
    let json = request.json();
    let field = |name: &str| {
        let in_pairs = form.iter().chain(&query).find(|(n, _)| n == name).map(|(_, value)| value.clone());
        in_pairs.or_else(|| json.get(name)?.as_str().map(str::to_owned))
    };
    match (field("username"), field("password")) {
        (Some(_), Some(password)) if password == PASSWORD => {
            Reply::json(200, format!(r#"{{"access_token":"{}","token_type":"bearer"}}"#, tokens.issue()))
        }
        // As the documentation prints it: no commas between the members.
        (Some(_), Some(_)) => Reply::json(
            400,
            "{\n  \"code\": 400\n  \"error\": \"gateway_auth_wrong_redirect_url\"\n  \"message\": \"Wrong redirect url\"\n}",
        ),
        _ => Reply::json(422, r#"{"detail":[{"loc":["body","username"],"msg":"field required","type":"missing"}]}"#),
    }
}

fn vendor_with(lifetime: u64, edit: impl Fn(&mut toml::Table)) -> Vendor {
    let vendor = Vendor::load_edited("stretch", lifetime, &[("password", PASSWORD)], edit);
    vendor.endpoint.always(at(PATH, login));
    vendor
}

fn vendor() -> Vendor {
    vendor_with(1_800, |_| {})
}

#[test]
fn the_example_goes_through_first_token_renewal_and_revocation() {
    // The answer says nothing of a lifetime, so the configured one is shortened with the tokens.
    let vendor = vendor_with(3, |file| {
        *super::member(file, &["credentials", "stretch", "response", "default_lifetime"]) = "3s".into();
    });
    // The login path itself is part of the API too, with GET.
    vendor.lives(PATH);
}

#[test]
fn the_example_works_as_it_is() {
    let vendor = vendor();
    let bearerd = vendor.setup.start_ready();
    vendor.get(&bearerd, "/api/v1/devices").expect(200);
    let request = vendor.endpoint.requests().remove(0);
    assert_eq!(request.fields.first("content-type"), Some("application/json"));
    let body = request.json();
    assert_eq!((body["username"].as_str(), body["password"].as_str()), (Some("robot"), Some(PASSWORD)));
    assert!(body.get("scope").is_none() && body.get("client_id").is_none(), "{body}");
    let ends = vendor.metric(&bearerd, "bearerd_token_expiry_timestamp_seconds");
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((1_700.0..=1_801.0).contains(&(ends - wall)), "lives {} s", ends - wall);
    vendor.heals(&bearerd, "/api/v1/devices");
}

#[test]
fn all_three_encodings_are_possible() {
    for encoding in ["form", "json", "query"] {
        let vendor = vendor_with(1_800, |file| {
            super::member(file, &["credentials", "stretch"])
                .as_table_mut()
                .unwrap()
                .insert("encoding".to_owned(), encoding.into());
        });
        let bearerd = vendor.setup.start_ready();
        vendor.get(&bearerd, "/api/v1/devices").expect(200);
        let request = vendor.endpoint.requests().remove(0);
        assert_eq!(request.query().is_empty(), encoding != "query", "{encoding}: {}", request.target);
        assert_eq!(request.body.is_empty(), encoding == "query", "{encoding}");
    }
}

#[test]
fn an_error_that_is_no_json_is_still_shown() {
    let vendor = vendor();
    vendor.setup.secret_file("password", "wrong-canary");
    vendor.is_refused("/api/v1/devices", "T020", "gateway_auth_wrong_redirect_url");
}

#[test]
fn a_validation_error_is_shown() {
    let vendor = vendor();
    vendor.endpoint.always(at(PATH, |_, _| {
        Reply::json(422, r#"{"detail":[{"loc":["body","username"],"msg":"field required","type":"missing"}]}"#)
    }));
    vendor.is_refused("/api/v1/devices", "T020", "field required");
}

#[test]
fn a_login_that_fails_keeps_the_old_token() {
    let vendor = vendor_with(6, |file| {
        *super::member(file, &["credentials", "stretch", "response", "default_lifetime"]) = "6s".into();
    });
    let bearerd = vendor.setup.start_ready();
    vendor.endpoint.always(Reply::text(502, "text/html", "<h1>Bad Gateway</h1>"));
    bearerd.wait_for_log("T013", 7.0);
    vendor.get(&bearerd, "/api/v1/devices").expect(200);
    crate::support::throughout("one attempt", seconds(1.0), || vendor.endpoint.count() == 2);
}
