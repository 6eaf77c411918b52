//! Java's `HttpURLConnection`: what callers of fifteen years ago are written with.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::listener::Listener;
use crate::support::peers::{installed, skip_heavy_unless};
use crate::support::{Bearerd, Reply, TokenEndpoint, Upstream, stage};

/// Counts the connections that are made to bearerd.
fn relay(to: SocketAddr) -> (Listener, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    let listener = Listener::start(Arc::new(move |caller: Arc<TcpStream>| {
        counting.fetch_add(1, Ordering::Relaxed);
        let Ok(server) = TcpStream::connect(to) else { return };
        std::thread::scope(|scope| {
            scope.spawn(|| pass(&caller, &server));
            pass(&server, &caller);
        });
    }));
    (listener, count)
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A bearerd whose login is refused.
fn broken() -> (TokenEndpoint, Upstream, Bearerd) {
    let (endpoint, upstream, setup) = stage(300);
    endpoint.always(Reply::json(401, r#"{"error":"invalid_client"}"#));
    let bearerd = setup.start();
    bearerd.wait_for_log("T021", 10.0);
    (endpoint, upstream, bearerd)
}

#[test]
fn a_legacy_java_program_is_served_and_never_sees_a_401() {
    if skip_heavy_unless(|| installed("javac") && installed("java"), "a JDK") {
        return;
    }
    let (endpoint, upstream, setup) = stage(300);
    let moved = format!("{}/items/new", upstream.url());
    upstream.on("/moved", move |exchange| match exchange.token_is_live() {
        true => exchange.answer(302, &[("Location", &moved)], ""),
        false => exchange.deny(),
    });
    // In the middle of a series tokens are taken back, each time from the request that is being sent.
    let tokens = endpoint.tokens().clone();
    let revocations = AtomicUsize::new(0);
    upstream.on("/revoke", move |exchange| {
        if exchange.target().ends_with('5') && revocations.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            tokens.revoke_all();
            exchange.read_body()?;
            return exchange.deny();
        }
        exchange.ordinary()
    });
    upstream.on("/missing", |exchange| exchange.answer(404, &[("Content-Type", "text/plain")], "nothing here"));
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    let (_other_endpoint, _other_upstream, without_token) = broken();
    let (relay, connections) = relay(bearerd.address());
    let mut command = Command::new("java");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/Legacy.java"));
    let url = |address: SocketAddr| format!("http://localhost:{}", address.port());
    let output = command.args([url(relay.address()), url(without_token.address())]).output().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.trim_end().ends_with("ok"), "{told}");
    assert_eq!(upstream.requests_for("/moved").len(), 1);
    // The first one, and twice in the series.
    assert_eq!(bearerd.rejections("replayed"), 3.0);
    let (connections, requests) = (connections.load(Ordering::Relaxed), upstream.count());
    assert!(requests > 30 && connections < 10, "{requests} requests over {connections} connections");
}
