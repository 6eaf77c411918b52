//! Forwarding over HTTP/1.1 (DESIGN section 6): streaming both ways, nothing added, nothing lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::support::client::{Load, burst, read_response, read_response_head, statuses};
use crate::support::listener::Listener;
use crate::support::wire::{Framing, Wire, chunk};
use crate::support::{After, Request, Standing, Upstream, eventually, seconds, stage};

#[test]
fn server_sent_events_pass_one_by_one() {
    let (_endpoint, upstream, setup) = stage(300);
    let (next, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    upstream.on("/events", move |exchange| {
        exchange
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for n in 0..5 {
            exchange.wire.send(chunk(format!("data: {n}\n\n")))?;
            // The next event is sent only after the caller has this one.
            if wait.lock().unwrap().recv_timeout(seconds(5.0)).is_err() {
                return Ok(After::Close);
            }
        }
        exchange.wire.send("0\r\n\r\n")?;
        Ok(After::KeepAlive)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/events").bytes(bearerd.address())).unwrap();
    let head = read_response_head(&mut wire).unwrap().expect(200);
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for n in 0..5 {
        assert_eq!(wire.chunk().unwrap().unwrap(), format!("data: {n}\n\n").into_bytes());
        next.send(()).unwrap();
    }
    assert_eq!(wire.chunk().unwrap(), None);
}

#[test]
fn a_request_body_streams_while_it_is_sent() {
    let (_endpoint, upstream, setup) = stage(300);
    let (got, parts) = mpsc::channel::<Vec<u8>>();
    let got = std::sync::Mutex::new(got);
    upstream.on("/up", move |exchange| {
        while let Some(part) = exchange.wire.chunk()? {
            got.lock().unwrap().send(part).unwrap();
        }
        exchange.wire.trailers()?;
        exchange.answer(200, &[], "done").map(|_| After::Close)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::new("POST", "/up").field("Transfer-Encoding", "chunked");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    for n in 0..5 {
        wire.send(chunk(format!("part {n}"))).unwrap();
        let part = parts.recv_timeout(seconds(5.0)).expect("the part before the next one is sent");
        assert_eq!(String::from_utf8_lossy(&part), format!("part {n}"));
    }
    wire.send("0\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut wire, "POST").unwrap().expect(200).text(), "done");
}

#[test]
fn an_answer_may_come_while_the_request_is_still_sent() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/duplex", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Some(part) = exchange.wire.chunk()? {
            exchange.wire.send(chunk(part))?;
        }
        exchange.wire.trailers()?;
        exchange.wire.send("0\r\n\r\n")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = Request::new("POST", "/duplex").field("Transfer-Encoding", "chunked");
    wire.send(head.head_bytes(bearerd.address())).unwrap();
    read_response_head(&mut wire).unwrap().expect(200);
    for n in 0..5 {
        wire.send(chunk(format!("echo {n}"))).unwrap();
        assert_eq!(wire.chunk().unwrap().unwrap(), format!("echo {n}").into_bytes());
    }
    wire.send("0\r\n\r\n").unwrap();
    assert_eq!(wire.chunk().unwrap(), None);
}

#[test]
fn fifty_megabytes_pass_both_ways_unchanged() {
    const SIZE: usize = 50 << 20;
    let (_endpoint, upstream, setup) = stage(300);
    let block: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1 << 20).collect();
    let body: Arc<Vec<u8>> = Arc::new(block.iter().copied().cycle().skip(7).take(SIZE).collect());
    let (expected, sent) = (body.clone(), body.clone());
    upstream.on("/up", move |exchange| {
        let (got, _) = exchange.wire.body(exchange.head.request_framing())?;
        let same = if got == *expected { "same" } else { "different" };
        exchange.answer(200, &[], same).map(|_| After::Close)
    });
    upstream.on("/down", move |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for part in sent.chunks(100_000) {
            exchange.wire.send(chunk(part))?;
        }
        exchange.wire.send("0\r\n\r\n").map(|()| After::Close)
    });
    let bearerd = setup.start_ready();
    assert_eq!(bearerd.send(&Request::post("/up", body.to_vec())).expect(200).text(), "same");
    let down = bearerd.get("/down").expect(200);
    assert!(down.body == *body, "{} bytes of {SIZE}", down.body.len());
    let resident = bearerd.metric("process_resident_memory_bytes", &[]).unwrap();
    assert!(resident < 100e6, "it keeps bodies: {resident} bytes resident");
}

#[test]
fn statuses_without_a_body_keep_the_connection_in_step() {
    let (_endpoint, upstream, setup) = stage(300);
    for status in [204, 304] {
        upstream.on(&format!("/s{status}"), move |exchange| exchange.answer(status, &[("ETag", "\"7\"")], ""));
    }
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    for (method, target, status) in
        [("GET", "/s204", 204), ("GET", "/s304", 304), ("HEAD", "/items", 200), ("GET", "/items", 200)]
    {
        wire.send(Request::new(method, target).bytes(bearerd.address())).unwrap();
        let response = read_response(&mut wire, method).unwrap().expect(status);
        if status == 204 {
            assert!(!response.fields.has("content-length") && !response.fields.has("transfer-encoding"));
        }
        if status == 304 {
            assert_eq!(response.field("etag"), Some("\"7\""));
        }
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn the_answers_fields_and_trailers_pass() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/fields", |exchange| {
        exchange.wire.send(
            "HTTP/1.1 418 I am a teapot\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Empty:\r\nConnection: x-hop\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        exchange.wire.send([chunk("short and stout"), b"0\r\nX-Sum: 42\r\n\r\n".to_vec()].concat())?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let response = bearerd.send(&Request::get("/fields").field("TE", "trailers").field("Connection", "TE")).expect(418);
    assert_eq!(response.text(), "short and stout");
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.field("x-empty"), Some(""));
    assert!(!response.fields.has("x-hop") && !response.fields.has("keep-alive"), "{response:?}");
    assert_eq!(response.trailers.first("x-sum"), Some("42"), "{response:?}");
    assert!(!response.fields.has("proxy-status"), "it is the upstream's own answer");
}

#[test]
fn the_request_passes_byte_for_byte() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for target in ["/a%2Fb/%e4?q=%20+x&y", "/a//b/./c/../d", "/?", "/items?x=/../y", "/~user;v=1,2/!$&'()*+:@"] {
        bearerd.send(&Request::new("PROPFIND", target).field("X-Custom", "a,b").field("X-Custom", "c")).expect(200);
        let seen = upstream.requests().pop().unwrap();
        assert_eq!((seen.method(), seen.target()), ("PROPFIND", target));
        assert_eq!(seen.head.fields.all("x-custom"), ["a,b", "c"]);
        assert_eq!(seen.head.fields.all("host"), [upstream.address().to_string()]);
    }
}

#[test]
fn keep_host_forwards_the_callers_host() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.route("keep_host = true").start_ready();
    bearerd.send(&Request::get("/items").field("Host", "app.localhost:8080")).expect(200);
    assert_eq!(upstream.only_request().head.fields.all("host"), ["app.localhost:8080"]);
}

#[test]
fn the_upstreams_path_is_base_and_rest() {
    for (base, route, target, arrives) in [
        ("/v2", "path = \"/items\"", "/items/7?x=1", "/v2/7?x=1"),
        ("/v2/", "path = \"/items\"", "/items/7", "/v2/7"),
        ("/v2", "path = \"/items\"", "/items", "/v2"),
        ("/v2", "path = \"/items\"", "/items?x=1", "/v2?x=1"),
        ("/v2", "path = \"/items\"\nstrip_path = false", "/items/7", "/v2/items/7"),
        ("", "path = \"/items\"", "/items/7", "/7"),
        ("", "path = \"/items\"", "/items", "/"),
        ("/v2", "", "/items/7", "/v2/items/7"),
    ] {
        let (_endpoint, upstream, setup) = stage(300);
        let bearerd = setup.upstream(&format!("{}{base}", upstream.url())).route(route).start_ready();
        bearerd.get(target).expect(200);
        assert_eq!(upstream.only_request().target(), arrives, "{base} {route} {target}");
    }
}

#[test]
fn routes_share_a_listener_by_host_and_by_longest_path() {
    let (endpoint, upstream, setup) = stage(300);
    let other = Upstream::start(endpoint.tokens());
    let routes = [("deep", "path = \"/a/deep\""), ("shallow", "path = \"/a\""), ("host", "host = \"other.localhost\"")];
    let setup = routes.iter().fold(setup, |setup, (name, rule)| {
        setup.section(&format!("[routes.{name}]\n{rule}\nstrip_path = false\nupstream = \"{}/{name}\"", other.url()))
    });
    let bearerd = setup.routes(&["api", "deep", "shallow", "host"]).start_ready();
    for (host, target, arrives) in [
        ("localhost", "/a/deep/x", Some("/deep/a/deep/x")),
        ("localhost", "/a/deeper", Some("/shallow/a/deeper")),
        ("localhost", "/a", Some("/shallow/a")),
        ("localhost", "/b", None),
        ("other.localhost", "/a/deep/x", Some("/host/a/deep/x")),
    ] {
        bearerd.send(&Request::get(target).field("Host", host)).expect(200);
        let seen = if arrives.is_some() { &other } else { &upstream }.requests().pop().unwrap();
        assert_eq!(seen.target(), arrives.unwrap_or(target), "{host} {target}");
        assert_eq!(seen.standing, Standing::Live);
    }
}

#[test]
fn a_path_that_could_mean_two_routes_is_refused() {
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.section(&format!(
        "[routes.admin]\npath = \"/admin\"\ncredential = \"none\"\nupstream = \"{}\"",
        upstream.url()
    ));
    let bearerd = setup.routes(&["api", "admin"]).start_ready();
    for target in ["/v1/../admin/x", "/v1/%2e%2e/admin", "/v1%2f..%2fadmin", "/%61dmin/x", "/admin/../v1"] {
        bearerd.get(target).expect_problem(400, "C005");
    }
    assert_eq!(upstream.count(), 0);
    bearerd.get("/v1/./x").expect(200);
}

#[test]
fn routes_may_have_listeners_of_their_own() {
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.section(&format!(
        "[routes.own]\nlisten = \"127.0.0.2:0\"\nupstream = \"{}/own\"\ncredential = \"none\"",
        upstream.url()
    ));
    upstream.on("/own", |exchange| exchange.answer(200, &[], ""));
    let bearerd = setup.routes(&["api", "own"]).start_ready();
    assert_ne!(bearerd.address(), bearerd.address_of("own"));
    Request::get("/x").send(bearerd.address_of("own")).expect(200);
    assert_eq!(upstream.only_request().target(), "/own/x");
}

#[test]
fn locations_that_point_to_the_upstream_point_to_us() {
    let (_endpoint, upstream, setup) = stage(300);
    let address = upstream.address();
    for (path, location) in [
        ("/absolute", format!("http://{address}/v2/next?x=1")),
        ("/foreign", "https://elsewhere.example/v2/next".to_owned()),
        ("/relative", "/v2/next".to_owned()),
        ("/beside", format!("http://{address}/other/next")),
    ] {
        upstream.on(&format!("/v2{path}"), move |exchange| {
            let link = format!("<{location}>; rel=\"next\"");
            let fields = [("Location", location.as_str()), ("Content-Location", &location), ("Link", &link)];
            exchange.answer(302, &fields, "")
        });
    }
    let setup = setup.upstream(&format!("{}/v2", upstream.url())).route("path = \"/items\"");
    let bearerd = setup.start_ready();
    let ours = format!("http://{}", bearerd.address());
    let absolute = bearerd.get("/items/absolute").expect(302);
    assert_eq!(absolute.field("location"), Some(format!("{ours}/items/next?x=1").as_str()));
    assert_eq!(absolute.field("content-location"), Some(format!("{ours}/items/next?x=1").as_str()));
    assert_eq!(absolute.field("link"), Some(format!("<{ours}/items/next?x=1>; rel=\"next\"").as_str()));
    assert_eq!(bearerd.get("/items/foreign").field("location"), Some("https://elsewhere.example/v2/next"));
    let relative = bearerd.get("/items/relative");
    let relative = relative.field("location").unwrap().trim_start_matches(ours.as_str());
    assert_eq!(relative, "/items/next");
    // Redirects are never followed here.
    assert_eq!(upstream.count(), 3);
}

#[test]
fn via_is_added_and_a_loop_is_detected() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.send(&Request::get("/items").field("Via", "1.0 fred")).expect(200);
    let via = upstream.only_request().head.fields.all("via").join(", ");
    assert!(via.starts_with("1.0 fred, 1.1 "), "{via}");
    // What it sends would come back to itself.
    let own = via.rsplit(", ").next().unwrap().to_owned();
    let response = bearerd.send(&Request::get("/items").field("Via", &own));
    assert!(response.status >= 500, "{response:?}");
    response.clone().expect_problem(response.status, "U008");
    assert_eq!(upstream.count(), 1);
}

#[test]
fn the_asterisk_never_reaches_another_authority() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut answered = 0;
    for (method, target) in [
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("GET", "http://evil.example/x"),
        ("GET", "http://evil.example"),
        ("GET", "@evil.example/x"),
        ("GET", ".evil.example/x"),
        ("GET", ":80@evil.example/x"),
        ("GET", "\\\\evil.example/x"),
    ] {
        let mut wire = Wire::connect(bearerd.address()).unwrap();
        wire.send(Request::new(method, target).bytes(bearerd.address())).unwrap();
        let response = read_response(&mut wire, method).unwrap();
        if (method, target) == ("OPTIONS", "*") {
            assert!(response.status == 200 || response.status == 400, "{response:?}");
            answered += usize::from(response.status == 200);
        } else {
            assert!([400, 421].contains(&response.status), "{method} {target}: {response:?}");
        }
    }
    assert_eq!(upstream.count(), answered);
    for seen in upstream.requests() {
        assert_eq!((seen.method(), seen.target()), ("OPTIONS", "*"));
        assert_eq!(seen.head.fields.all("host"), [upstream.address().to_string()]);
    }
}

#[test]
fn two_slashes_are_a_path_and_no_authority() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get("//evil.example/x").expect(200);
    let seen = upstream.only_request();
    assert_eq!(
        (seen.target(), seen.head.fields.first("host")),
        ("//evil.example/x", Some(&*upstream.address().to_string()))
    );
}

#[test]
fn absolute_form_is_served_where_its_authority_is_allowed() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    bearerd.get(&format!("http://{}/items?x=1", bearerd.address())).expect(200);
    assert_eq!(upstream.only_request().target(), "/items?x=1");
}

#[test]
fn upstream_connections_are_used_again() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.top("workers = 1").start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    for n in 0..100 {
        wire.send(Request::get(&format!("/items/{n}")).bytes(bearerd.address())).unwrap();
        read_response(&mut wire, "GET").unwrap().expect(200);
    }
    assert_eq!((upstream.count(), upstream.connections()), (100, 1));
}

#[test]
fn gets_never_fail_when_the_upstream_closes_idle_connections() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let load = Load::start(bearerd.address(), 4, seconds(0.003), Request::get("/items"));
    for _ in 0..100 {
        let count = upstream.count();
        eventually("load", seconds(5.0), || upstream.count() >= count + 3);
        upstream.cut_connections_when_idle();
    }
    load.stop().expect_all_ok();
    assert!(upstream.connections() > 50, "{} connections", upstream.connections());
}

#[test]
fn a_post_is_never_sent_twice_because_a_connection_was_stale() {
    let (_endpoint, upstream, setup) = stage(300);
    // It reads the request, then goes away without an answer.
    upstream.on("/once", |exchange| {
        exchange.read_body()?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    for _ in 0..5 {
        bearerd.get("/warm").expect(200);
        bearerd.send(&Request::post("/once", "x")).expect_problem(502, "U006");
    }
    assert_eq!(upstream.requests_for("/once").len(), 5);
}

#[test]
fn an_answer_cut_short_is_cut_short_for_the_caller_too() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/short", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")?;
        Ok(After::Close)
    });
    upstream.on("/chunks", |exchange| {
        exchange.wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    for target in ["/short", "/chunks"] {
        let error = Request::get(target).try_send(bearerd.address()).expect_err("a whole answer");
        assert!(!matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    }
    bearerd.get("/items").expect(200);
}

#[test]
fn an_answer_that_ends_with_the_connection_passes() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/close", |exchange| {
        exchange.wire.send("HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nuntil the end")?;
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let response = bearerd.get("/close").expect(200);
    assert_eq!((response.text().as_str(), response.field("x-old")), ("until the end", Some("yes")));
}

#[test]
fn what_is_no_http_is_502() {
    let (_endpoint, upstream, setup) = stage(300);
    for (path, bytes) in [("/garbage", "SSH-2.0-OpenSSH_9.6\r\n"), ("/header", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n")]
    {
        upstream.on(path, move |exchange| {
            exchange.wire.send(bytes)?;
            Ok(After::Close)
        });
    }
    let bearerd = setup.start_ready();
    bearerd.get("/garbage").expect_problem(502, "U007");
    bearerd.get("/header").expect_problem(502, "U007");
}

#[test]
fn interim_answers_come_before_the_final_one() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/hints", |exchange| {
        exchange.wire.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")?;
        exchange.answer(200, &[], "final")
    });
    let bearerd = setup.start_ready();
    // Passing them on is allowed and leaving them out is too (RFC 9110 §15.2); taking them for the answer is not.
    assert_eq!(bearerd.get("/hints").expect(200).text(), "final");
    assert_eq!(bearerd.get("/items").expect(200).json()["target"], "/items");
}

#[test]
fn a_client_of_http_1_0_is_served() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(format!("GET /items HTTP/1.0\r\nHost: {}\r\n\r\n", bearerd.address())).unwrap();
    let response = read_response_head(&mut wire).unwrap().expect(200);
    assert!(!response.fields.has("transfer-encoding"), "{response:?}");
    let (body, _) = wire.body(Framing::UntilClose).unwrap();
    assert!(String::from_utf8_lossy(&body).contains("/items"));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (_endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let requests: Vec<u8> =
        (0..5).flat_map(|n| Request::post(&format!("/items/{n}"), "xyz").bytes(bearerd.address())).collect();
    wire.send(requests).unwrap();
    for n in 0..5 {
        assert_eq!(read_response(&mut wire, "POST").unwrap().expect(200).json()["target"], format!("/items/{n}"));
    }
}

#[test]
fn many_callers_at_once_are_served() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let answers = burst(bearerd.address(), 300, |n| Request::post(&format!("/items/{n}"), format!("body {n}")));
    assert_eq!(statuses(&answers), [(200, 300)].into());
    for seen in upstream.requests() {
        let number = seen.target().rsplit('/').next().unwrap();
        assert_eq!(String::from_utf8_lossy(&seen.body), format!("body {number}"));
    }
}

#[test]
fn a_caller_that_goes_away_ends_the_request_at_the_upstream() {
    let (_endpoint, upstream, setup) = stage(300);
    let (ended, wait) = mpsc::channel::<bool>();
    let ended = std::sync::Mutex::new(ended);
    upstream.on("/slow", move |exchange| {
        let closed = exchange.wire.closes_within(seconds(5.0));
        ended.lock().unwrap().send(closed).unwrap();
        Ok(After::Close)
    });
    let bearerd = setup.start_ready();
    let wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(Request::get("/slow").bytes(bearerd.address())).unwrap();
    eventually("the request", seconds(3.0), || upstream.count() == 1);
    drop(wire);
    assert!(wait.recv_timeout(seconds(6.0)).unwrap(), "the upstream went on working for nobody");
}

#[test]
fn an_upstream_that_is_not_ours_is_never_dialled() {
    let (_endpoint, upstream, setup) = stage(300);
    let touched = Arc::new(AtomicUsize::new(0));
    let counter = touched.clone();
    let trap = Listener::start(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    let target = format!("http://{}/elsewhere", trap.address());
    upstream.on("/redirect", move |exchange| exchange.answer(307, &[("Location", &target)], ""));
    let bearerd = setup.start_ready();
    let response = bearerd.send(&Request::post("/redirect", "x")).expect(307);
    assert_eq!(response.field("location"), Some(format!("http://{}/elsewhere", trap.address()).as_str()));
    // The trap's own authority in an absolute-form target: loopback is allowed as a Host, but picks no upstream.
    bearerd.get(&format!("http://{}/x", trap.address())).expect(200);
    assert_eq!(touched.load(Ordering::SeqCst), 0);
}
