//! One refresh token that works once, and everything that could make it come twice: eight processes, `kill -9`, lost answers.
//!
//! The server (oidc-provider) ends the grant when a refresh token comes twice, as RFC 9700 §4.14.2 wants it; with `--keep-last` it
//! is one of those that take the last one again until its successor was used; django-oauth-toolkit ends the access token, too, when its
//! refresh token is used. `tests/reliability` has the long form.

use crate::support::fleet::Fleet;
use crate::support::provider::Provider;
use crate::support::redis::SEAL_KEY;
use crate::support::{Bearerd, eventually, seconds};

#[test]
fn eight_processes_share_a_refresh_token_and_none_spoils_it() {
    let Some(mut fleet) = Fleet::new(4, &[]) else { return };
    fleet.start(8);
    let outcome = fleet.race(60, seconds(90.0));
    assert!(outcome.renewals >= 60 && outcome.requests > 100, "{outcome:?}");
    fleet.expect_no_reuse();
}

#[test]
fn a_renewal_that_ends_the_token_before_it_is_noticed_by_no_caller() {
    let Some(provider) = Provider::django(3) else { return };
    let mut fleet = Fleet::at(provider);
    // Whoever did not renew hears 401, and finds the new token there.
    let store = format!("[store]\nkind = \"file\"\ndirectory = \"store\"\nseal_key = \"{SEAL_KEY}\"\n");
    fleet.setup = fleet.setup.clone().section(&store);
    fleet.start(4);
    let outcome = fleet.race(8, seconds(60.0));
    assert!(outcome.renewals >= 8 && outcome.requests > 100, "{outcome:?}");
    fleet.expect_no_reuse();
}

#[test]
fn processes_killed_at_random_moments_always_leave_a_working_token_where_the_server_keeps_the_last() {
    let Some(mut fleet) = Fleet::new(4, &["--keep-last", "--delay=200"]) else { return };
    fleet.start(4);
    fleet.kill_at_random(12, seconds(1.0));
    let before = fleet.provider.count("refreshes");
    fleet.race(before + 8, seconds(60.0));
    assert_eq!(fleet.provider.count("revoked_grants"), 0);
}

#[test]
fn processes_killed_at_random_moments_work_or_say_that_they_must_be_authorised_again_at_a_strict_server() {
    let Some(mut fleet) = Fleet::new(4, &["--delay=300"]) else { return };
    fleet.start(4);
    for _ in 0..20 {
        fleet.kill_at_random(1, seconds(1.0));
        if fleet.provider.count("revoked_grants") > 0 {
            break;
        }
    }
    let spent = |bearerd: &Bearerd| {
        let answer = bearerd.get("/items");
        answer.status == 503 && answer.json()["code"] == "T025"
    };
    for bearerd in &fleet.bearerds {
        if fleet.provider.count("revoked_grants") > 0 {
            eventually("it says so", seconds(20.0), || spent(bearerd));
        } else {
            bearerd.wait_ready(20.0);
        }
    }
    let anew = fleet.provider.refresh_token("svc", "");
    fleet.setup.secret_file("first", &format!("{anew}\n"));
    fleet.wait_ready();
    for bearerd in &fleet.bearerds {
        bearerd.get("/items").expect(200);
    }
}

#[test]
fn an_answer_lost_with_a_killed_process_ends_in_a_clear_word_at_a_strict_server() {
    let Some(mut fleet) = Fleet::new(300, &["--delay=2000"]) else { return };
    fleet.start(1);
    eventually("it asks", seconds(10.0), || fleet.provider.count("refreshes") == 1);
    fleet.replace(0);
    let bearerd = &fleet.bearerds[0];
    bearerd.wait_for_log("T025", 20.0);
    let line = bearerd.log_with("T025").remove(0);
    assert!(line.contains("must be given anew") && line.contains("was not answered"), "{line}");
    bearerd.get("/items").expect_problem(503, "T025");
    assert_eq!((fleet.provider.count("reused"), fleet.provider.count("revoked_grants")), (1, 1));
    // Somebody authorises it again.
    let anew = fleet.provider.refresh_token("svc", "");
    fleet.setup.secret_file("first", &format!("{anew}\n"));
    bearerd.wait_ready(20.0);
    bearerd.get("/items").expect(200);
}

#[test]
fn an_answer_that_the_server_could_not_send_costs_nothing_where_it_keeps_the_last() {
    let Some(mut fleet) = Fleet::new(10, &["--keep-last"]) else { return };
    fleet.start(2);
    fleet.wait_ready();
    for lost in 1..=2 {
        fleet.provider.lose_answers(1);
        eventually("an answer is lost", seconds(10.0), || fleet.provider.count("lost") == lost);
        let before = fleet.provider.count("refreshes");
        fleet.race(before + 3, seconds(30.0));
    }
    assert!(fleet.provider.count("reused") >= 2);
    assert_eq!((fleet.provider.count("revoked_grants"), fleet.provider.count("refusals")), (0, 0));
}

#[test]
fn an_answer_that_a_strict_server_could_not_send_ends_in_a_clear_word_for_every_process() {
    let Some(mut fleet) = Fleet::new(3, &[]) else { return };
    fleet.start(2);
    fleet.wait_ready();
    fleet.provider.lose_answers(1);
    for bearerd in &fleet.bearerds {
        bearerd.wait_for_log("T025", 20.0);
        let line = bearerd.log_with("T025").remove(0);
        assert!(line.contains("must be given anew"), "{line}");
        eventually("it says so", seconds(10.0), || bearerd.get("/items").status == 503);
        bearerd.get("/items").expect_problem(503, "T025");
    }
    // Somebody authorises them again.
    let anew = fleet.provider.refresh_token("svc", "");
    fleet.setup.secret_file("first", &format!("{anew}\n"));
    fleet.wait_ready();
    fleet.bearerds[0].get("/items").expect(200);
}
