//! Servers that are not who they should be, for upstreams and for token endpoints; and those that want to know who we are.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::support::listener::Listener;
use crate::support::peers::{installed, skip_unless};
use crate::support::tls_front::{Authority, Pair, front_with};
use crate::support::{Setup, TokenEndpoint, Tokens, Upstream, eventually, seconds, stage};

/// The bad peers, each with the words that must tell what is wrong with it, and whether it is a matter of time.
struct BadPeers {
    all: Vec<(&'static str, u16, &'static str)>,
    _listeners: Vec<Listener>,
    _old: OldServer,
}

/// `openssl s_server` that knows only TLS 1.0 and 1.1.
struct OldServer(Child);

impl Drop for OldServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl BadPeers {
    /// Those that let anything through let it through to `server`, which must not see anything.
    fn new(authority: &Authority, server: std::net::SocketAddr, setup: &Setup) -> Self {
        let plain = Listener::start(Arc::new(|stream: Arc<TcpStream>| {
            let _ = (&*stream).write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            let _ = (&*stream).read(&mut [0; 4096]);
        }));
        let cut = Listener::start(Arc::new(|stream: Arc<TcpStream>| {
            let _ = (&*stream).read(&mut [0; 4096]);
        }));
        let silent = Listener::start(Arc::new(
            |stream: Arc<TcpStream>| while matches!((&*stream).read(&mut [0; 64]), Ok(1..)) {},
        ));
        let (old, old_port) = OldServer::start(authority, setup);
        let all = vec![
            ("expired", authority.front_until("localhost", server, 2020).port(), "expired on 2020-01-01"),
            ("misnamed", authority.front("elsewhere.example", server).port(), "but for elsewhere.example"),
            ("unknown", Authority::new().front("localhost", server).port(), "authority that is not trusted"),
            ("selfsigned", front_with(&Pair::self_signed("localhost"), server).port(), "not trusted (self-signed"),
            ("old", old_port, "no TLS version or cipher that is acceptable"),
            ("plain", plain.address().port(), "does not speak TLS on this port"),
            ("cut", cut.address().port(), "closed the connection during the TLS handshake"),
            ("silent", silent.address().port(), "did not finish the TLS handshake within 1s"),
        ];
        Self { all, _listeners: vec![plain, cut, silent], _old: old }
    }
}

impl OldServer {
    fn start(authority: &Authority, setup: &Setup) -> (Self, u16) {
        authority.issue("localhost").write(setup.directory(), "old");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("openssl")
            .args(["s_server", "-quiet", "-cert", "old.pem", "-key", "old.key", "-no_tls1_2", "-no_tls1_3"])
            .args(["-cipher", "DEFAULT@SECLEVEL=0", "-accept", &format!("127.0.0.1:{port}")])
            .current_dir(setup.directory())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        eventually("openssl listens", seconds(10.0), || TcpStream::connect(("127.0.0.1", port)).is_ok());
        (Self(server), port)
    }
}

const SECTIONS: &str = "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
    [timeouts]\nconnect = \"1s\"\n";

#[test]
fn no_bad_upstream_gets_a_token_and_each_is_told_in_one_line() {
    if skip_unless(installed("openssl"), "openssl") {
        return;
    }
    let authority = Authority::new();
    let (endpoint, upstream, setup) = stage(300);
    authority.file(setup.directory(), "ca.pem");
    let peers = BadPeers::new(&authority, upstream.address(), &setup);
    let mut text = SECTIONS.to_owned();
    for (name, port, _) in &peers.all {
        text += &format!(
            "[routes.{name}]\npath = \"/{name}\"\nupstream = \"https://localhost:{port}\"\ntls = {{ ca = \"ca.pem\" }}\n"
        );
    }
    text += &format!("[credentials.api]\ntoken_endpoint = \"{}\"\n", endpoint.url());
    let routes: Vec<_> = peers.all.iter().map(|(name, _, _)| *name).collect();
    let bearerd = setup.file(&text, &routes).start_ready();
    for (name, _, words) in &peers.all {
        let answer = bearerd.get(&format!("/{name}/items"));
        let answer = match *name {
            "silent" => answer.expect_problem(504, "U004"),
            _ => answer.expect_problem(502, "U003"),
        };
        assert!(answer.text().contains(words), "{words:?} is not in {}", answer.text());
        let lines = || bearerd.log_with(&format!(" {name}: "));
        eventually(&format!("a line about {name}"), seconds(2.0), || !lines().is_empty());
        assert!(lines().len() == 1 && lines()[0].contains(words), "{name}: {:#?}", lines());
    }
    assert_eq!((peers.all.len(), upstream.count()), (8, 0));
}

#[test]
fn no_bad_token_endpoint_gets_a_secret_and_each_is_told_in_one_line() {
    if skip_unless(installed("openssl"), "openssl") {
        return;
    }
    let authority = Authority::new();
    let (endpoint, upstream, setup) = stage(300);
    authority.file(setup.directory(), "ca.pem");
    let peers = BadPeers::new(&authority, endpoint.address(), &setup);
    endpoint.canaries().add("bad-peer-canary");
    let mut text = SECTIONS.to_owned();
    for (name, port, _) in &peers.all {
        text += &format!(
            "[routes.{name}]\npath = \"/{name}\"\nupstream = \"{}\"\ncredential = \"{name}\"\n[credentials.{name}]\n\
             token_endpoint = \"https://localhost:{port}/token\"\nclient_id = \"svc\"\nclient_secret = \"bad-peer-canary\"\n\
             tls = {{ ca = \"ca.pem\" }}\nrefresh = {{ wait = \"10ms\" }}\n",
            upstream.url()
        );
    }
    let routes: Vec<_> = peers.all.iter().map(|(name, _, _)| *name).collect();
    let bearerd = setup.file(&text, &routes).start();
    for (name, _, words) in &peers.all {
        let code = if *name == "silent" { "T012" } else { "T011" };
        let told = || bearerd.log_with(&format!("{code} {name}: "));
        eventually(&format!("{code} of {name}"), seconds(10.0), || !told().is_empty());
        assert!(told()[0].contains(words), "{words:?} is not in {:#?}", told());
        bearerd.get(&format!("/{name}/items")).expect_problem(503, code);
    }
    assert_eq!((peers.all.len(), endpoint.count()), (8, 0));
}

/// Upstream and token endpoint that let in only clients with a certificate of `wanted`, and a bearerd that shows `own`.
fn mutual(wanted: &Authority, own: Option<&Pair>, endpoint_is_plain: bool) -> (TokenEndpoint, Upstream, Setup) {
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    let (api, _) = wanted.front_for_clients("localhost", upstream.address());
    let (login, _) = wanted.front_for_clients("localhost", endpoint.address());
    let setup = Setup::new(endpoint.canaries());
    wanted.file(setup.directory(), "ca.pem");
    let mut tls = "ca = \"ca.pem\"".to_owned();
    if let Some(own) = own {
        own.write(setup.directory(), "own");
        tls += ", certificate = \"own.pem\", key = \"own.key\"";
    }
    let login = match endpoint_is_plain {
        true => endpoint.url(),
        false => format!("https://localhost:{}/token", login.port()),
    };
    let credential = format!("token_endpoint = \"{login}\"\ntls = {{ {tls} }}\nrefresh = {{ wait = \"300ms\" }}");
    let setup = setup.credential_only(&format!("https://localhost:{}", api.port()), &credential);
    (endpoint, upstream, setup.route(&format!("tls = {{ {tls} }}")))
}

#[test]
fn a_client_certificate_opens_the_upstream_and_the_token_endpoint() {
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = mutual(&authority, Some(&authority.issue("bearerd.example")), false);
    let bearerd = setup.start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn without_the_client_certificate_that_is_wanted_the_reason_says_so() {
    let authority = Authority::new();
    let foreign = Authority::new().issue("bearerd.example");
    for (own, words) in
        [(None, "wants a client certificate"), (Some(&foreign), "did not accept our client certificate")]
    {
        let (endpoint, _upstream, setup) = mutual(&authority, own, false);
        let bearerd = setup.start();
        bearerd.wait_for_log("T011", 10.0);
        assert!(bearerd.log_with("T011")[0].contains(words), "{:#?}", bearerd.log());
        assert_eq!(endpoint.count(), 0);
        let (_endpoint, upstream, setup) = mutual(&authority, own, true);
        let bearerd = setup.start_ready();
        for _ in 0..5 {
            let answer = bearerd.get("/items").expect_problem(502, "U003");
            assert!(answer.text().contains(words), "{words:?} is not in {}", answer.text());
        }
        assert_eq!(upstream.count(), 0);
    }
}
