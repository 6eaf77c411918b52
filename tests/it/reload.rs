//! Another configuration while it runs: what changes, what stays, and what a broken one leaves alone.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::support::client::{Load, read_response, read_response_head};
use crate::support::rotating::Rotating;
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Bearerd, Reply, Request, Setup, Upstream, eventually, now, pause, seconds, stage};

/// Writes the configuration of `setup` where that of another one is, as an editor does: a new file in the place of the old.
fn rewrite(of: &Setup, text: &str) {
    let path = of.directory().join("bearerd.toml");
    let new = of.directory().join("bearerd.toml~");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn second_route(upstream: &Upstream) -> String {
    format!("[routes.other]\npath = \"/other\"\nupstream = \"{}\"\ncredential = \"none\"\n", upstream.url())
}

/// A request on a connection that stays open.
#[track_caller]
fn ask(wire: &mut Wire, bearerd: &Bearerd, target: &str) -> u16 {
    wire.send(Request::get(target).bytes(bearerd.address())).unwrap();
    read_response(wire, "GET").unwrap().status
}

#[test]
fn a_signal_takes_over_what_is_new_and_keeps_token_and_connections() {
    let (endpoint, upstream, setup) = stage(300);
    let other = Upstream::start(endpoint.tokens());
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    assert_eq!(ask(&mut wire, &bearerd, "/items"), 200);
    let connections = upstream.connections();
    rewrite(&setup, &setup.clone().section(&second_route(&other)).text());
    bearerd.reload("success");
    assert_eq!(ask(&mut wire, &bearerd, "/items"), 200);
    assert_eq!(ask(&mut wire, &bearerd, "/other/x"), 401, "without a token, so the upstream was asked");
    assert_eq!(other.requests_for("/x").len(), 1);
    assert_eq!((endpoint.count(), upstream.connections()), (1, connections));
    assert_eq!(bearerd.log_with("route new: other").len(), 1, "{:?}", bearerd.log());
    // And away again.
    rewrite(&setup, &setup.text());
    bearerd.reload("success");
    ask(&mut wire, &bearerd, "/other/x");
    assert_eq!(other.requests_for("/x").len(), 1);
    assert_eq!(bearerd.metric("bearerd_request_duration_seconds_count", &[("route", "other")]), None);
    assert_eq!((endpoint.count(), upstream.connections()), (1, connections));
    bearerd.reload("success");
    assert_eq!(bearerd.log_with("nothing has changed").len(), 1);
}

#[test]
fn a_broken_configuration_changes_nothing_and_says_everything_that_is_wrong() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let last = bearerd.metric("bearerd_config_last_reload_success_timestamp_seconds", &[]).unwrap();
    let broken = setup.text().replace("client_id", "clientid").replace("level = \"info\"", "level = \"loud\"");
    rewrite(&setup, &broken);
    bearerd.reload("failure");
    for wanted in ["F003", "F005"] {
        assert_eq!(bearerd.log_with(wanted).len(), 1, "{wanted}: {:?}", bearerd.log());
    }
    assert!(bearerd.log_with("bearerd.toml:").iter().all(|line| line.contains("not reloaded")));
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.count(), 1);
    fs::remove_file(setup.directory().join("bearerd.toml")).unwrap();
    bearerd.reload("failure");
    bearerd.get("/items").expect(200);
    // A port that somebody else has, seen last of all. It is of an address where nothing else of this machine takes any.
    let taken = std::net::TcpListener::bind("127.3.5.7:0").unwrap();
    let second = second_route(&Upstream::start(endpoint.tokens()))
        .replace("path", &format!("listen = \"{}\"\npath", taken.local_addr().unwrap()));
    rewrite(&setup, &setup.clone().section(&second).text());
    bearerd.reload("failure");
    assert_eq!(bearerd.metric("bearerd_request_duration_seconds_count", &[("route", "other")]), None);
    assert_eq!(bearerd.reloads("success"), 0.0);
    assert_eq!(bearerd.metric("bearerd_config_last_reload_success_timestamp_seconds", &[]), Some(last));
    // Not dropped: a process that another test starts at this moment may have it for a moment more.
    rustix::net::shutdown(&taken, rustix::net::Shutdown::Both).unwrap();
    bearerd.reload("success");
}

#[test]
fn the_admin_listener_reloads_where_that_is_switched_on() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let post = || Request::post("/reload", "").send(bearerd.admin());
    let refused = post().expect(403).text();
    assert!(refused.contains("reload = true"), "{refused}");
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\nreload = true\n";
    let enabled = setup.clone().section(admin);
    rewrite(&setup, &enabled.text());
    bearerd.reload("success");
    let answer = post().expect(200).json();
    assert_eq!((&answer["reloaded"], &answer["summary"]), (&true.into(), &"nothing has changed".into()));
    assert_eq!(Request::get("/reload").send(bearerd.admin()).status, 405);
    rewrite(&setup, &enabled.clone().top("workers = 0").text());
    let why = post().expect(422).text();
    assert!(why.contains("bearerd.toml:2:") && why.contains("workers"), "{why}");
    rewrite(&setup, &enabled.clone().top("workers = 1").section("[timeouts]\nkeep_alive = \"7s\"").text());
    let answer = post().expect(200).json();
    let wants = serde_json::json!(["workers"]);
    let fields = (&answer["changes"]["others"], &answer["changes"]["wants_restart"]);
    assert!(fields.0 == true && (*fields.1 == wants || *fields.1 == serde_json::json!([])), "{answer}");
    // From another site's page nobody can.
    let foreign = Request::post("/reload", "").field("origin", "https://evil.example").send(bearerd.admin());
    assert_eq!(foreign.status, 403);
}

#[test]
fn a_credential_that_has_changed_begins_anew_and_requests_in_flight_end_with_the_old_one() {
    let (endpoint, upstream, setup) = stage(300);
    let go_on = Arc::new(AtomicBool::new(false));
    let switch = go_on.clone();
    upstream.on("/slow", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        exchange.wire.send(chunk("first"))?;
        while !switch.load(Ordering::SeqCst) {
            pause(seconds(0.02));
        }
        exchange.wire.send([chunk("last"), b"0\r\n\r\n".to_vec()].concat())?;
        Ok(After::KeepAlive)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/slow").bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    assert_eq!(wire.chunk().unwrap().unwrap(), b"first");
    rewrite(&setup, &setup.clone().credential("scope = \"more\"").text());
    bearerd.reload("success");
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.requests().last().unwrap().field("scope").as_deref(), Some("more"));
    assert_eq!(endpoint.count(), 2);
    assert_eq!(bearerd.token_requests("success"), 2.0);
    assert_eq!(bearerd.metric("bearerd_token_valid", &[("credential", "api")]), Some(1.0));
    go_on.store(true, Ordering::SeqCst);
    assert_eq!(wire.chunk().unwrap().unwrap(), b"last");
    assert_eq!(wire.chunk().unwrap(), None);
    wire.trailers().unwrap();
    assert_eq!(ask(&mut wire, &bearerd, "/items"), 200);
}

#[test]
fn a_figure_of_a_credential_changes_and_its_token_stays() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let connections = upstream.connections();
    endpoint.always(Reply::json(503, "{}"));
    let early = setup.clone().credential("refresh = { early = \"30%\" }");
    let changes = [
        early.clone(),
        early.clone().credential("lockout = true\nrequired = false"),
        early.clone().section("[[credentials.api.permanent]]\nstatus = 599"),
        setup.clone().credential("budget = { requests = 10, per = \"1h\" }"),
        setup.clone(),
    ];
    let change_to = |change: &Setup| {
        rewrite(&setup, &change.text());
        bearerd.reload("success");
        bearerd.get("/items").expect(200);
    };
    changes.iter().for_each(change_to);
    assert_eq!((endpoint.count(), upstream.connections()), (1, connections));
    // The route's figure too, so that it begins anew with its connections.
    change_to(&setup.clone().section("[timeouts]\nconnect = \"3s\""));
    assert_eq!(endpoint.count(), 1);
    assert_eq!(bearerd.log_with("credential changed: api").len(), changes.len() + 1);
    assert_eq!(bearerd.metric("bearerd_token_budget_requests", &[("credential", "api")]), None);
    // What is written now is obeyed: a rejected token is replaced as soon as that is possible.
    endpoint.always(Reply::Token);
    endpoint.tokens().revoke_all();
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.count(), 2);
}

#[test]
fn who_waits_for_a_token_while_a_figure_changes_gets_it() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.always(Reply::json(503, "{}"));
    let bearerd = setup.start();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/items").bytes(bearerd.address())).unwrap();
    eventually("it waits", seconds(5.0), || {
        bearerd.metric("bearerd_requests_waiting_for_token", &[("credential", "api")]) == Some(1.0)
    });
    rewrite(&setup, &setup.clone().credential("refresh = { early = \"30%\" }").text());
    bearerd.reload("success");
    endpoint.always(Reply::Token);
    read_response(&mut wire, "GET").unwrap().expect(200);
}

/// The server ends the grant if a refresh token comes twice.
#[test]
fn a_refresh_token_that_is_the_only_credential_outlives_reloads_with_and_without_a_directory() {
    let (endpoint, upstream, _) = stage(300);
    let server = Rotating::strict();
    endpoint.always(server.reply(&endpoint));
    let credential =
        format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\nrefresh_token = {{ file = \"first\" }}", endpoint.url());
    let setup = Setup::new(endpoint.canaries()).credential_only(&upstream.url(), &credential);
    setup.secret_file("first", "refresh-canary-0");
    let early = setup.clone().credential("\nrefresh = { early = \"30%\" }");
    let bearerd = setup.start_ready();
    let kept = |directory: &str, token: &str| {
        let file = setup.directory().join(directory).join("refresh-token-api");
        eventually("it is written down", seconds(5.0), || {
            fs::read_to_string(&file).is_ok_and(|kept| kept.ends_with(&format!("\n{token}\n")))
        });
    };
    let use_it = |change: &Setup| {
        rewrite(&setup, &change.text());
        bearerd.reload("success");
        endpoint.tokens().revoke_all();
        bearerd.get("/items").expect(200);
    };
    use_it(&early);
    for (directory, token) in [("one", "refresh-canary-3"), ("other", "refresh-canary-4")] {
        fs::create_dir(setup.directory().join(directory)).unwrap();
        use_it(&early.clone().top(&format!("state_directory = \"{directory}\"")));
        kept(directory, token);
    }
    use_it(&setup);
    assert!(!server.is_revoked());
    assert_eq!(endpoint.count(), 5);
}

#[test]
fn a_credential_that_is_replaced_or_gone_renews_no_longer() {
    let (endpoint, upstream, setup) = stage(2);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    let asked_with = |scope: Option<&str>| {
        endpoint.requests().iter().filter(|request| request.field("scope").as_deref() == scope).count()
    };
    rewrite(&setup, &setup.clone().credential("scope = \"more\"").text());
    bearerd.reload("success");
    let before = asked_with(None);
    eventually("two renewals", seconds(10.0), || asked_with(Some("more")) >= 3);
    // One that was under way when it was replaced may still come.
    assert!(asked_with(None) <= before + 1, "the old credential goes on asking");
    let none = format!("listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{}", second_route(&upstream));
    rewrite(&setup, &none);
    bearerd.reload("success");
    let (gone, start) = (endpoint.count(), now());
    eventually("longer than a token lives", seconds(10.0), || start.elapsed() > seconds(2.5));
    assert!(endpoint.count() <= gone + 1, "a credential that is gone goes on asking");
    assert_eq!(bearerd.metric("bearerd_token_valid", &[("credential", "api")]), None);
}

#[test]
fn connections_end_that_began_before_callers_had_to_say_who_they_are() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    assert_eq!(ask(&mut wire, &bearerd, "/items"), 200);
    let own = rustix::process::getuid().as_raw();
    rewrite(&setup, &setup.clone().section(&format!("[callers]\nuids = [{own}]")).text());
    bearerd.reload("success");
    assert!(wire.closes_within(seconds(5.0)), "nobody knows whose connection this is");
    bearerd.get("/items").expect(200);
    rewrite(&setup, &setup.clone().section(&format!("[callers]\nuids = [{}]", own + 1)).text());
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    assert_eq!(ask(&mut wire, &bearerd, "/items"), 200);
    bearerd.reload("success");
    assert_eq!(ask(&mut wire, &bearerd, "/items"), 403, "the rules of now hold on old connections too");
}

#[test]
fn listeners_come_and_go() {
    let (endpoint, upstream, setup) = stage(300);
    let mut bearerd = setup.start_ready();
    let other = second_route(&upstream).replace("path", "listen = \"127.0.0.1:0\"\npath").replace("none", "api");
    rewrite(&setup, &setup.clone().section(&other).text());
    bearerd.reload("success");
    let address = bearerd.wait_for_route("other");
    Request::get("/other/items").send(address).expect(200);
    let mut idle = Wire::connect(address).unwrap();
    idle.send(Request::get("/other/items").bytes(address)).unwrap();
    read_response(&mut idle, "GET").unwrap().expect(200);
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\n";
    rewrite(&setup, &setup.clone().section(admin).text());
    bearerd.reload("success");
    assert!(idle.closes_within(seconds(5.0)), "an idle connection of a listener that is gone stays");
    assert!(Request::get("/other/items").try_send(address).is_err());
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn a_watched_file_is_taken_over_by_itself() {
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.top("watch = true");
    let bearerd = setup.start_ready();
    rewrite(&setup, &setup.clone().section(&second_route(&upstream)).text());
    eventually("a reload", seconds(10.0), || bearerd.reloads("success") == 1.0);
    // The same bytes again are no change.
    rewrite(&setup, &setup.clone().section(&second_route(&upstream)).text());
    rewrite(&setup, "[routes.api]");
    eventually("a failure", seconds(10.0), || bearerd.reloads("failure") == 1.0);
    bearerd.get("/items").expect(200);
    rewrite(&setup, &setup.text());
    eventually("another reload", seconds(10.0), || bearerd.reloads("success") == 2.0);
    assert_eq!(bearerd.reloads("failure"), 1.0);
}

#[test]
fn in_a_kubernetes_volume_the_link_of_all_files_is_followed() {
    let (_endpoint, upstream, setup) = stage(300);
    let volume = |version: &str, text: &str| {
        let directory = setup.directory().join(version);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("bearerd.toml"), text).unwrap();
        let link = setup.directory().join("..data_tmp");
        std::os::unix::fs::symlink(version, &link).unwrap();
        fs::rename(link, setup.directory().join("..data")).unwrap();
    };
    volume("..1", &setup.text());
    std::os::unix::fs::symlink("..data/bearerd.toml", setup.directory().join("bearerd.toml")).unwrap();
    let bearerd = setup.start_ready();
    volume("..2", &setup.clone().section(&second_route(&upstream)).text());
    eventually("a reload", seconds(10.0), || bearerd.reloads("success") == 1.0);
    assert_eq!(bearerd.log_with("its files have changed").len(), 1);
    assert_eq!(bearerd.log_with("route new: other").len(), 1);
}

#[test]
fn included_files_bring_routes_and_credentials_and_are_watched_too() {
    let (endpoint, upstream, setup) = stage(300);
    let setup = setup.top("watch = true\ninclude = \"conf.d/*.toml\"");
    let directory = setup.directory().join("conf.d");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("secret"), crate::support::setup::CLIENT_SECRET).unwrap();
    let credential = format!(
        "[credentials.second]\ntoken_endpoint = \"{}\"\nclient_id = \"svc\"\nclient_secret = {{ file = \"secret\" }}\n",
        endpoint.url()
    );
    let route = second_route(&upstream).replace("none", "second");
    let whole = setup.clone().route("credential = \"api\"");
    fs::write(directory.join("10-other.toml"), format!("{route}{credential}")).unwrap();
    let bearerd = whole.start_ready();
    bearerd.get("/other/items").expect(200);
    fs::write(directory.join("20-third.toml"), route.replace("other", "third").replace("second", "api")).unwrap();
    eventually("a reload", seconds(10.0), || bearerd.reloads("success") == 1.0);
    bearerd.get("/third/items").expect(200);
    // Everything that is wrong, with its place.
    fs::write(directory.join("30-wrong.toml"), format!("workers = 2\n{route}")).unwrap();
    fs::write(directory.join("40-wrong.toml"), "[routes\n").unwrap();
    eventually("a failure", seconds(10.0), || bearerd.reloads("failure") > 0.0);
    for wanted in ["30-wrong.toml:1:1: F003 workers", "30-wrong.toml:2:9: F007 routes.other", "40-wrong.toml:1:8"] {
        assert!(!bearerd.log_with(wanted).is_empty(), "{wanted}: {:?}", bearerd.log());
    }
    assert!(!bearerd.log_with("10-other.toml:1").is_empty(), "the first place is not named: {:?}", bearerd.log());
}

#[test]
fn reloads_under_load_fail_no_request_and_leave_nothing_behind() {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", bearerd.pid())).unwrap().count();
    let texts = [
        setup.text(),
        setup.clone().section(&second_route(&upstream)).text(),
        setup.clone().route("headers = { set = { x-tenant = \"7\" } }").section("[limits]\nconnections = 500").text(),
        setup.clone().section(&second_route(&upstream).replace("path", "listen = \"127.0.0.1:0\"\npath")).text(),
    ];
    let load = Load::start(bearerd.address(), 8, seconds(0.001), Request::get("/items"));
    let reload = |text: &String| {
        rewrite(&setup, text);
        bearerd.reload("success");
    };
    texts.iter().for_each(reload);
    reload(&texts[0]);
    let before = descriptors();
    for _ in 0..8 {
        texts.iter().for_each(reload);
    }
    reload(&texts[0]);
    load.stop().expect_all_ok();
    assert_eq!(endpoint.count(), 1);
    // Connections to upstreams of routes that are gone end a moment later.
    eventually("no more descriptors than before", seconds(5.0), || descriptors() <= before + 8);
}

#[test]
fn who_waits_to_be_accepted_by_a_listener_that_goes_away_is_served() {
    let (_endpoint, upstream, setup) = stage(300);
    let other = second_route(&upstream).replace("none", "api");
    let before = other.replace("path", "listen = \"127.0.0.1:0\"\npath");
    let setup = setup.route("credential = \"api\"").routes(&["api", "other"]);
    let bearerd = setup.clone().section(&before).start_ready();
    let address = bearerd.address_of("other");
    let reloads = bearerd.reloads("success");
    // While it stands still, callers come and the signal too; it meets all of them at once.
    bearerd.signal(Signal::STOP);
    let call = |_| {
        let wire = Wire::connect(address).unwrap();
        wire.send(Request::get("/other/items").bytes(address)).unwrap();
        wire
    };
    let mut callers: Vec<_> = (0..50).map(call).collect();
    rewrite(&setup, &setup.clone().section(&other).text());
    bearerd.signal(Signal::HUP);
    bearerd.signal(Signal::CONT);
    for wire in &mut callers {
        read_response(wire, "GET").unwrap().expect(200);
        assert!(wire.closes_within(seconds(5.0)));
    }
    eventually("the reload", seconds(5.0), || bearerd.reloads("success") > reloads);
    assert!(Wire::connect(address).is_err());
}
