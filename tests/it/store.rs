//! Instances that share a token store: files of one host, a real Redis.

use rustix::process::Signal;

use crate::support::client::Load;
use crate::support::fleet::Fleet;
use crate::support::redis::{Redis, SEAL_KEY, Watched};
use crate::support::rotating::Rotating;
use crate::support::{Bearerd, Reply, Request, Setup, eventually, seconds, stage, throughout};

/// `[store]` for files in a directory beside the configuration.
fn in_files() -> String {
    format!("[store]\nkind = \"file\"\ndirectory = \"store\"\nseal_key = \"{SEAL_KEY}\"\n")
}

fn start_many(setup: &Setup, count: usize) -> Vec<Bearerd> {
    let mut started: Vec<_> = (0..count).map(|_| setup.spawn()).collect();
    started.iter_mut().for_each(Bearerd::wait_until_it_listens);
    started
}

fn wait_ready(bearerds: &[Bearerd]) {
    for bearerd in bearerds {
        bearerd.wait_ready(20.0);
    }
}

fn adopted(bearerd: &Bearerd) -> f64 {
    bearerd.metric("bearerd_token_adopted_total", &[("credential", "api")]).unwrap()
}

/// A restart finds the token, and so does whoever comes beside it.
fn takes_over_what_is_there(section: &str) {
    let (endpoint, _upstream, setup) = stage(300);
    setup.canaries().add(SEAL_KEY);
    let setup = setup.section(section);
    let first = setup.start_ready();
    first.get("/items").expect(200);
    eventually("it is told", seconds(5.0), || first.metric("bearerd_store_up", &[]) == Some(1.0));
    let beside = setup.start_ready();
    beside.get("/items").expect(200);
    assert_eq!(endpoint.count(), 1);
    // Killed or ended, it makes no difference.
    drop(beside);
    first.stop();
    let again = setup.start();
    let took = again.wait_ready(5.0);
    again.get("/items").expect(200);
    assert_eq!((endpoint.count(), adopted(&again)), (1, 1.0));
    assert!(again.log_with("token taken from the token store").len() == 1);
    assert!(took < seconds(1.0), "ready {took:?} after it listened");
}

#[test]
fn a_restart_finds_the_token_in_the_files() {
    takes_over_what_is_there(&in_files());
}

#[test]
fn a_restart_finds_the_token_in_redis() {
    let Some(redis) = Redis::start() else { return };
    takes_over_what_is_there(&redis.section());
}

#[test]
fn a_token_that_an_earlier_run_has_brought_is_masked_in_what_the_token_endpoint_says() {
    // Too short to be masked by its looks.
    const TOKEN: &str = "Zx81kq77";
    let (endpoint, _upstream, setup) = stage(300);
    setup.canaries().add(SEAL_KEY);
    endpoint.tokens().register(TOKEN);
    endpoint.always(Reply::json(200, format!("{{\"access_token\":\"{TOKEN}\",\"expires_in\":300}}")));
    let setup = setup.section(&in_files());
    let first = setup.start_ready();
    eventually("it is told", seconds(5.0), || first.metric("bearerd_store_up", &[]) == Some(1.0));
    first.stop();
    let again = setup.start_ready();
    assert_eq!((endpoint.count(), adopted(&again)), (1, 1.0));
    let said = format!("token {TOKEN} is still active");
    endpoint.always(Reply::json(400, format!("{{\"error\":\"invalid_request\",\"error_description\":\"{said}\"}}")));
    endpoint.tokens().revoke_all();
    again.get("/items");
    again.wait_for_log("token *** is still active", 10.0);
}

#[test]
fn nothing_in_redis_can_be_read() {
    let Some(redis) = Redis::start() else { return };
    let (endpoint, _upstream, setup) = stage(300);
    setup.canaries().add(SEAL_KEY);
    let bearerd = setup.section(&redis.section()).start_ready();
    bearerd.get("/items").expect(200);
    eventually("there is an entry", seconds(5.0), || redis.keys().iter().any(|key| !key.ends_with(":lease")));
    let contents = redis.contents();
    assert!(contents.len() > 100, "{contents}");
    assert_eq!(endpoint.canaries().found_in(&contents), None);
    assert!(redis.keys().iter().all(|key| key.starts_with("bearerd:{")), "{:?}", redis.keys());
}

/// One token request for each life, whoever makes it, and none for a token that another has replaced.
fn act_as_one(section: &str) {
    let (endpoint, _upstream, setup) = stage(6);
    setup.canaries().add(SEAL_KEY);
    let setup = setup.section(section);
    let bearerds = start_many(&setup, 6);
    wait_ready(&bearerds);
    let loads: Vec<_> =
        bearerds.iter().map(|each| Load::start(each.address(), 1, seconds(0.05), Request::get("/items"))).collect();
    endpoint.wait_for(6, 60.0);
    let requests = endpoint.requests();
    for pair in requests.windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at).as_secs_f64();
        assert!(apart > 2.5, "{apart} s between two token requests");
    }
    loads.into_iter().for_each(|load| load.stop().expect_all_ok());
    // A revocation costs one request, whoever meets it first; if it comes when all of them have the last token.
    endpoint.wait_for(endpoint.count() + 1, 20.0);
    let end = |each: &Bearerd| each.metric("bearerd_token_expiry_timestamp_seconds", &[("credential", "api")]).unwrap();
    eventually("all have the last token", seconds(5.0), || {
        bearerds.iter().all(|each| (end(each) - end(&bearerds[0])).abs() < 0.5)
    });
    let before = endpoint.count();
    endpoint.tokens().revoke_all();
    for bearerd in &bearerds {
        bearerd.get("/items").expect(200);
    }
    assert!(endpoint.count() <= before + 2, "{} token requests", endpoint.count() - before);
}

#[test]
fn six_processes_act_as_one_by_files() {
    act_as_one(&in_files());
}

#[test]
fn six_processes_act_as_one_by_redis() {
    let Some(redis) = Redis::start() else { return };
    act_as_one(&redis.section());
}

#[test]
fn a_wrong_password_is_tried_once_by_all_until_it_is_confirmed() {
    let Some(redis) = Redis::start() else { return };
    let (endpoint, _upstream, setup) = stage(300);
    setup.canaries().add(SEAL_KEY);
    endpoint.always(Reply::json(401, "{\"error\":\"invalid_client\"}"));
    let setup = setup.section(&redis.section());
    let bearerds = start_many(&setup, 6);
    for bearerd in &bearerds {
        bearerd.wait_for_log("T021", 10.0);
        bearerd.get("/items").expect_problem(503, "T021");
    }
    assert_eq!(endpoint.count(), 1);
    // Whoever mends it, mends it for all.
    endpoint.always(Reply::Token);
    assert_eq!(bearerds[3].send(&Request::get("/")).status, 503);
    let retried = Request::new("POST", "/retry/api").send(bearerds[3].admin());
    assert!(retried.status < 300, "{retried:?}");
    wait_ready(&bearerds);
    assert_eq!(endpoint.count(), 2);
}

#[test]
fn callers_notice_nothing_of_a_redis_that_is_killed_paused_or_wiped() {
    let Some(mut redis) = Redis::start() else { return };
    let (endpoint, _upstream, setup) = stage(4);
    setup.canaries().add(SEAL_KEY);
    let setup = setup.section(&redis.section());
    let bearerds = start_many(&setup, 3);
    wait_ready(&bearerds);
    let loads: Vec<_> =
        bearerds.iter().map(|each| Load::start(each.address(), 1, seconds(0.02), Request::get("/items"))).collect();
    let up = |wanted: f64| bearerds.iter().all(|each| each.metric("bearerd_store_up", &[]) == Some(wanted));
    let renew = |more: usize| endpoint.wait_for(endpoint.count() + more, 60.0);
    redis.kill();
    eventually("its loss is noticed", seconds(10.0), || up(0.0));
    // Each renews for itself.
    renew(6);
    redis.start_again();
    eventually("it is found again", seconds(20.0), || up(1.0));
    renew(2);
    redis.signal(Signal::STOP);
    eventually("its pause is noticed", seconds(20.0), || up(0.0));
    renew(3);
    redis.signal(Signal::CONT);
    eventually("its return is noticed", seconds(20.0), || up(1.0));
    redis.command(&["flushall"]);
    renew(2);
    eventually("there is an entry again", seconds(10.0), || !redis.keys().is_empty());
    loads.into_iter().for_each(|load| load.stop().expect_all_ok());
    assert!(!bearerds[0].log_with("T032").is_empty());
}

#[test]
fn callers_notice_nothing_of_a_master_that_dies_and_the_replica_goes_on_for_all() {
    let Some(mut watched) = Watched::start() else { return };
    let (endpoint, _upstream, setup) = stage(6);
    setup.canaries().add(SEAL_KEY);
    let setup = setup.section(&watched.section());
    let bearerds = start_many(&setup, 3);
    wait_ready(&bearerds);
    let loads: Vec<_> =
        bearerds.iter().map(|each| Load::start(each.address(), 1, seconds(0.02), Request::get("/items"))).collect();
    let up = |wanted: f64| bearerds.iter().all(|each| each.metric("bearerd_store_up", &[]) == Some(wanted));
    endpoint.wait_for(2, 20.0);
    watched.master.kill();
    eventually("the replica is the master", seconds(30.0), || watched.replica.command(&["role"]).starts_with("master"));
    eventually("it is found", seconds(20.0), || up(1.0));
    // One renewal may have been begun by each on its own; then they are one again.
    endpoint.wait_for(endpoint.count() + 3, 30.0);
    let again = endpoint.count();
    endpoint.wait_for(again + 3, 40.0);
    for pair in endpoint.requests()[again..].windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at);
        assert!(apart > seconds(2.5), "{apart:?} between two token requests");
    }
    loads.into_iter().for_each(|load| load.stop().expect_all_ok());
}

#[test]
fn a_store_that_is_away_at_the_start_delays_it_by_no_more_than_its_timeout() {
    let (endpoint, _upstream, setup) = stage(300);
    setup.canaries().add(SEAL_KEY);
    let section = format!(
        "[store]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\nseal_key = \"{SEAL_KEY}\"\ntimeout = \"500ms\"\n"
    );
    let bearerd = setup.section(&section).start();
    let took = bearerd.wait_ready(10.0);
    assert!(took < seconds(5.0), "{took:?}");
    bearerd.get("/items").expect(200);
    bearerd.wait_for_log("T032", 5.0);
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn a_store_comes_and_goes_with_the_configuration_and_tokens_stay() {
    let Some(redis) = Redis::start() else { return };
    let (endpoint, _upstream, setup) = stage(300);
    setup.canaries().add(SEAL_KEY);
    let with = setup.clone().section(&redis.section());
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    std::fs::write(setup.directory().join("bearerd.toml"), with.text()).unwrap();
    bearerd.reload("success");
    // It tells the new store what it has.
    eventually("there is an entry", seconds(10.0), || !redis.keys().is_empty());
    let beside = with.start_ready();
    beside.get("/items").expect(200);
    assert_eq!(endpoint.count(), 1);
    std::fs::write(setup.directory().join("bearerd.toml"), setup.text()).unwrap();
    bearerd.reload("success");
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn a_refresh_token_comes_out_of_a_store_that_a_reload_takes_away() {
    let (endpoint, upstream, _) = stage(300);
    let server = Rotating::strict();
    endpoint.always(server.reply(&endpoint));
    endpoint.canaries().add(SEAL_KEY);
    let credential =
        format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\nrefresh_token = {{ file = \"first\" }}", endpoint.url());
    let setup = Setup::new(endpoint.canaries())
        .credential_only(&upstream.url(), &credential)
        .top("state_directory = \"state\"");
    setup.secret_file("first", "refresh-canary-0");
    std::fs::create_dir(setup.directory().join("state")).unwrap();
    let bearerd = setup.clone().section(&in_files()).start_ready();
    std::fs::write(setup.directory().join("bearerd.toml"), setup.text()).unwrap();
    bearerd.reload("success");
    let file = setup.directory().join("state").join("refresh-token-api");
    eventually("it is written down", seconds(5.0), || {
        std::fs::read_to_string(&file).is_ok_and(|kept| kept.ends_with("\nrefresh-canary-1\n"))
    });
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert_eq!((endpoint.count(), server.is_revoked()), (2, false));
}

/// Eight processes by one refresh token that works once, without a directory in common.
fn share_a_refresh_token(section: &str, spoil: &mut dyn FnMut(&Fleet)) {
    let Some(mut fleet) = Fleet::new(4, &[]) else { return };
    fleet.setup = fleet.setup.clone().section(section);
    fleet.start(8);
    fleet.race(30, seconds(90.0));
    spoil(&fleet);
    let outcome = fleet.race(60, seconds(120.0));
    assert!(outcome.renewals >= 60, "{outcome:?}");
    fleet.expect_no_reuse();
}

#[test]
fn eight_processes_share_a_refresh_token_in_redis_and_none_spoils_it() {
    let Some(redis) = Redis::start() else { return };
    share_a_refresh_token(&redis.section(), &mut |_| {});
}

#[test]
fn a_refresh_token_outlives_a_redis_that_forgets_everything() {
    let Some(redis) = Redis::start() else { return };
    share_a_refresh_token(&redis.section(), &mut |_| drop(redis.command(&["flushall"])));
}

#[test]
fn a_refresh_token_is_not_used_while_its_store_is_away() {
    let Some(mut redis) = Redis::start() else { return };
    let Some(mut fleet) = Fleet::new(4, &[]) else { return };
    fleet.setup = fleet.setup.clone().section(&redis.section());
    fleet.start(3);
    fleet.race(5, seconds(60.0));
    redis.kill();
    eventually("callers are told", seconds(20.0), || {
        fleet.bearerds.iter().all(|bearerd| bearerd.get("/items").status == 503)
    });
    let before = fleet.provider.count("refreshes");
    throughout("nobody uses it", seconds(3.0), || fleet.provider.count("refreshes") == before);
    fleet.bearerds[0].get("/items").expect_problem(503, "T032");
    redis.start_again();
    fleet.wait_ready();
    fleet.race(before + 5, seconds(60.0));
    fleet.expect_no_reuse();
}
