//! Where requests are addressed to: absolute-form, and servers with several addresses.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::support::peers::{installed, skip_unless};
use crate::support::{Bearerd, Request, TokenEndpoint, Upstream, stage};

/// One route for the host `api.example` beside one for every host, on the same listener.
fn by_host() -> (TokenEndpoint, Upstream, Upstream, Bearerd) {
    let (endpoint, upstream, setup) = stage(300);
    let named = Upstream::start(endpoint.tokens());
    let section = format!(
        "[routes.named]\nhost = \"api.example\"\nupstream = \"{}/v2\"\n[routes.named.headers]\nset = {{ x-route = \"named\" }}\n",
        named.url()
    );
    let bearerd = setup.section(&section).routes(&["api", "named"]).start_ready();
    (endpoint, upstream, named, bearerd)
}

#[test]
fn an_absolute_target_is_served_by_the_route_that_names_its_host() {
    let (_endpoint, upstream, named, bearerd) = by_host();
    for target in
        ["http://api.example/items?x=1", "http://API.example.:80/items?x=1", "http://api.example:8080/items?x=1"]
    {
        bearerd.send(&Request::get(target).field("Host", "ignored.example")).expect(200);
        let seen = named.requests().pop().unwrap();
        assert_eq!(seen.target(), "/v2/items?x=1", "{target}");
        assert_eq!(seen.head.fields.all("host"), [named.address().to_string()]);
    }
    bearerd.send(&Request::get("http://api.example").field("Host", "api.example")).expect(200);
    assert_eq!(named.requests().pop().unwrap().target(), "/v2/");
    assert_eq!(upstream.count(), 0);
    let count = named.count();
    // Any other host is none of ours, whatever Host says; our own name leads to the other route.
    bearerd.send(&Request::get("http://evil.example/items").field("Host", "api.example")).expect_problem(421, "C003");
    bearerd.send(&Request::get("http://x@api.example/items")).expect_problem(400, "C005");
    bearerd.send(&Request::get("https://api.example/items")).expect_problem(400, "C005");
    bearerd.send(&Request::get(&format!("http://{}/items", bearerd.address()))).expect(200);
    bearerd.send(&Request::new("CONNECT", "api.example:443")).expect_problem(405, "C004");
    assert_eq!((upstream.count(), named.count()), (1, count));
}

#[test]
fn references_in_answers_to_absolute_targets_lead_through_us_again() {
    let (_endpoint, _upstream, named, bearerd) = by_host();
    let location = format!("{}/v2/next", named.url());
    named.on("/v2/moved", move |exchange| {
        let fields = [("Location", location.as_str()), ("Set-Cookie", "a=1; Path=/v2; Domain=127.0.0.1")];
        exchange.answer(302, &fields, "")
    });
    let answer = bearerd.send(&Request::get("http://api.example/moved").field("Host", "api.example")).expect(302);
    assert_eq!(answer.field("location"), Some("http://api.example/next"));
    assert_eq!(answer.field("set-cookie"), Some("a=1; Path=/"));
}

#[test]
fn curl_that_only_knows_http_proxy_is_served() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (endpoint, _upstream, named, bearerd) = by_host();
    endpoint.tokens().revoke_all();
    let curl = |url: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "-m", "20", url]).env_clear().env("PATH", "/usr/bin:/bin");
        let output = command.env("http_proxy", format!("http://{}", bearerd.address())).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let told = curl("http://api.example/items?x=1");
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    let seen = named.requests().pop().unwrap();
    assert_eq!((seen.target(), seen.head.fields.first("x-route")), ("/v2/items?x=1", Some("named")));
    assert!(!seen.head.fields.has("proxy-connection"), "{}", seen.raw_head());
    let told = curl("http://elsewhere.example/");
    assert!(told.starts_with("HTTP/1.1 421") && told.contains("C003"), "{told}");
}

/// Passes connections to the second loopback on, if this machine has one. The same port of the first is held as long as what
/// is returned beside it, and nobody listens there.
fn second_loopback(to: SocketAddr) -> Option<(u16, Socket)> {
    let first = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    first.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).ok()?;
    let port = first.local_addr().ok()?.as_socket()?.port();
    let listener = match TcpListener::bind(("::1", port)) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => return second_loopback(to),
        listener => listener.ok()?,
    };
    std::thread::spawn(move || {
        while let Ok((caller, _)) = listener.accept() {
            let Ok(server) = TcpStream::connect(to) else { return };
            let (there, back) = (server.try_clone().unwrap(), caller.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut &caller, &mut &there));
            std::thread::spawn(move || std::io::copy(&mut &server, &mut &back));
        }
    });
    Some((port, first))
}

#[test]
fn every_address_of_a_name_is_tried() {
    let (_endpoint, upstream, setup) = stage(300);
    let second = second_loopback(upstream.address());
    if skip_unless(second.is_some(), "IPv6 on loopback") {
        return;
    }
    let (port, _first) = second.unwrap();
    // Nobody listens on 127.0.0.1 there, which is tried first.
    let bearerd = setup.upstream(&format!("http://api.localhost:{port}")).start_ready();
    bearerd.get("/items").expect(200);
}
