//! Forwarding over HTTP/1.1 (DESIGN section 6): heads and messages, nothing added, nothing lost.

use crate::support::client::{Load, burst, read_response, read_response_head, statuses};
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, frame, request};
use crate::support::wire::{Framing, Wire, chunk};
use crate::support::{After, Request, eventually, now, seconds, stage};

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
fn of_a_request_that_usually_has_a_body_it_is_said_that_it_has_none() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    for (method, wanted) in [("POST", &["0"][..]), ("PUT", &["0"]), ("PATCH", &["0"]), ("GET", &[]), ("DELETE", &[])] {
        let target = format!("/{method}");
        Request::new(method, &target).send(bearerd.address()).expect(200);
        let mut frames = Frames::connect(bearerd.address()).unwrap();
        let fields = request(method, &target, "localhost", &[]);
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields)).unwrap();
        assert_eq!(frames.status(1).unwrap(), 0x88);
        let seen = upstream.requests_for(&target);
        assert_eq!(seen.len(), 2);
        for seen in seen {
            assert_eq!(seen.head.fields.all("content-length"), wanted, "{}", seen.raw_head());
        }
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
    // Also where it came to us over another version than the one it went by.
    let name = own.trim_start_matches("1.1 ");
    let response = bearerd.send(&Request::get("/items").field("Via", &format!("1.0 fred, 2 {name} (gone)")));
    response.clone().expect_problem(response.status, "U008");
    assert_eq!(upstream.count(), 1);
}

/// RFC 9110 §7.6.3: the protocol that a message was received by.
#[test]
fn via_says_by_which_version_a_request_has_come() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let via = || upstream.requests().pop().unwrap().head.fields.all("via").join(", ");
    let old = Wire::connect(bearerd.address()).unwrap();
    old.send("GET /items HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    eventually("the request upstream", seconds(3.0), || upstream.count() == 1);
    assert!(via().starts_with("1.0 bearerd-"), "{}", via());
    let mut frames = Frames::connect(bearerd.address()).unwrap();
    let get = request("GET", "/items", &bearerd.address().to_string(), &[]);
    frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, get)).unwrap();
    frames.body(1).unwrap();
    assert!(via().starts_with("2 bearerd-"), "{}", via());
    assert_eq!(upstream.requests().pop().unwrap().head.start, "GET /items HTTP/1.1");
}

/// RFC 9110 §10.1.1: in a request of HTTP/1.0 it is ignored.
#[test]
fn an_expectation_of_http10_is_none() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    let head = "POST /items HTTP/1.0\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let start = now();
    wire.send(format!("{head}abc")).unwrap();
    read_response(&mut wire, "POST").unwrap().expect(200);
    assert!(start.elapsed() < seconds(0.7), "{:?}", start.elapsed());
    let seen = upstream.only_request();
    assert_eq!((seen.head.fields.first("expect"), &seen.body[..]), (None, &b"abc"[..]));
    let mut wire = Wire::connect(bearerd.address()).unwrap();
    wire.send(format!("{}abc", head.replace("100-continue", "a miracle"))).unwrap();
    read_response(&mut wire, "POST").unwrap().expect_problem(417, "C008");
}

/// RFC 9110 §7.6.2.
#[test]
fn max_forwards_of_options_is_counted_down_and_answered_at_its_end() {
    let (_endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    let ask = |method: &str, max: &str| bearerd.send(&Request::new(method, "/items").field("Max-Forwards", max));
    for target in ["/items", "*"] {
        let response = bearerd.send(&Request::new("OPTIONS", target).field("Max-Forwards", "0")).expect(204);
        assert!(response.field("proxy-status").is_some_and(|status| status.starts_with("bearerd")), "{response:?}");
    }
    assert_eq!(upstream.count(), 0);
    for (method, max, wanted) in
        [("OPTIONS", "1", "0"), ("OPTIONS", "70", "69"), ("OPTIONS", "many", "many"), ("GET", "0", "0")]
    {
        ask(method, max).expect(200);
        assert_eq!(upstream.requests().pop().unwrap().head.fields.all("max-forwards"), [wanted], "{method} {max}");
    }
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
