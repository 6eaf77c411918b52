//! A real authorization server that nobody here wrote: npm `oidc-provider`, installed by `./ci`.

use crate::support::client::{Load, burst, statuses};
use crate::support::provider::{PASSWORD, Provider, SECRET};
use crate::support::{Request, eventually, seconds, throughout};

#[test]
fn five_second_tokens_of_a_real_server_under_load_fail_no_request() {
    let Some(provider) = Provider::start(5) else { return };
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"")).start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.005), Request::get("/items"));
    eventually("three renewals", seconds(15.0), || provider.count("tokens") >= 4);
    let report = load.stop();
    report.expect_all_ok();
    assert_eq!(provider.count("rejected"), 0);
    assert_eq!(provider.count("accepted") as usize, report.total());
    assert_eq!(provider.count("token_requests"), provider.count("tokens"));
}

#[test]
fn a_revocation_at_a_real_server_costs_one_token_request() {
    let Some(provider) = Provider::start(300) else { return };
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"")).start_ready();
    bearerd.get("/items").expect(200);
    provider.revoke_all();
    let answers = burst(bearerd.address(), 100, |n| Request::get(&format!("/items/{n}")));
    assert_eq!(statuses(&answers), [(200, 100)].into());
    assert_eq!(provider.count("token_requests"), 2);
    assert!(provider.count("rejected") >= 1);
}

#[test]
fn a_wrong_secret_at_a_real_server_is_tried_once_and_the_right_one_heals() {
    let Some(provider) = Provider::start(300) else { return };
    let setup = provider.setup("client_secret = { file = \"secret\" }");
    setup.secret_file("secret", "wrong-canary-secret\n");
    let bearerd = setup.start();
    bearerd.wait_for_log("T021", 5.0);
    assert!(bearerd.log_with("T021").join("\n").contains("invalid_client"));
    let load = Load::start(bearerd.address(), 4, seconds(0.01), Request::get("/items"));
    throughout("one attempt", seconds(3.0), || provider.count("token_requests") == 1);
    let report = load.stop();
    assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [503], "{report:?}");
    setup.secret_file("secret", &format!("{SECRET}\n"));
    eventually("200", seconds(5.0), || bearerd.get("/items").status == 200);
    assert_eq!(provider.count("token_requests"), 2);
}

#[test]
fn single_use_refresh_tokens_of_a_real_server_are_rotated() {
    let Some(provider) = Provider::start(3) else { return };
    let credential = format!("client_secret = \"{SECRET}\"\nusername = \"robot\"\npassword = \"{PASSWORD}\"");
    provider.canaries.add(PASSWORD);
    let setup = provider.setup(&credential);
    let text = setup.text().replace("scope = \"api.read\"", "scope = \"api.read offline_access\"");
    let bearerd = setup.file(&text, &["api"]).start_ready();
    let load = Load::start(bearerd.address(), 2, seconds(0.01), Request::get("/items"));
    eventually("three rotations", seconds(14.0), || provider.count("refreshes") >= 3);
    load.stop().expect_all_ok();
    assert_eq!(provider.count("passwords"), 1, "the password was sent once");
    assert_eq!(provider.count("refusals"), 0, "no refresh token was sent twice");
}

#[test]
fn dpop_with_a_real_server_and_nonces_on_both_sides_fails_no_request() {
    let Some(provider) = Provider::start_with(6, &["--dpop"]) else { return };
    let bearerd = provider.setup(&format!("client_secret = \"{SECRET}\"\ndpop = true")).start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.005), Request::get("/items?a=b"));
    eventually("two renewals", seconds(15.0), || provider.count("tokens") >= 3);
    let report = load.stop();
    report.expect_all_ok();
    assert_eq!((provider.count("bad_proofs"), provider.count("rejected")), (0, 0));
    assert!(provider.count("nonces_wanted") >= 3, "{report:?}");
    assert_eq!(provider.count("accepted") as usize, report.total());
    assert_eq!(bearerd.token_requests("success"), provider.count("tokens") as f64);
    assert_eq!(bearerd.token_requests("transient") + bearerd.token_requests("refused"), 0.0);
    provider.revoke_all();
    bearerd.get("/after").expect(200);
    let plain = provider.setup(&format!("client_secret = \"{SECRET}\"")).start();
    // The library's way to say that this client must prove possession.
    plain.wait_for_log("invalid_grant", 5.0);
}
