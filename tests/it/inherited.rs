//! Sockets that the service manager bound and hands over: `listen = "fd:NAME"`.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use socket2::{Domain, Socket, Type};

use crate::listeners::by_socket;
use crate::support::client::read_response;
use crate::support::hand_over::HandOver;
use crate::support::peers::{installed, skip_unless};
use crate::support::wire::Wire;
use crate::support::{Bearerd, Ended, Request, Setup, eventually, finish, seconds, stage};

fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Starts it with these sockets, and waits until the admin listener is bound.
fn start(setup: &Setup, sockets: &HandOver) -> Bearerd {
    let mut bearerd = Bearerd::watch(setup, sockets.to(&setup.command("run")).spawn().unwrap());
    bearerd.wait_until_it_listens();
    bearerd
}

/// Starts it with these sockets, which are a mistake.
#[track_caller]
fn refused(setup: &Setup, sockets: &HandOver, phrases: &[&str]) {
    let ended = finish(sockets.to(&setup.command("run")), setup.canaries()).expect_code(78);
    for phrase in phrases {
        assert!(ended.stderr.contains(phrase), "{phrase:?} is not in {}", ended.stderr);
    }
}

#[test]
fn an_application_is_served_on_every_socket_that_was_handed_over_by_a_name() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.top("listen = \"fd:bearerd.socket\"").routes(&[]);
    let (v4, v6) = (tcp(), TcpListener::bind("[::1]:0").unwrap());
    let addresses = [v4.local_addr().unwrap(), v6.local_addr().unwrap()];
    let path = setup.directory().join("handed.sock");
    let unix = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let name = "bearerd.socket";
    let sockets = HandOver::new().with(name, v4).with(name, v6).with(name, unix);
    let bearerd = start(&setup, &sockets);
    bearerd.wait_ready(10.0);
    for address in addresses {
        Request::get("/items").send(address).expect(200);
        // The rules are those of any loopback listener.
        Request::get("/items").field("Host", "evil.example").send(address).expect_problem(421, "C003");
    }
    let (status, told) = by_socket(&path, &["http://anything.example/items"], None);
    assert_eq!((status, upstream.count()), (200, 3), "{told}");
    let status = bearerd.admin_get("/status?format=json").expect(200).text();
    assert!(status.contains("handed.sock") && status.contains(&addresses[1].to_string()), "{status}");
    bearerd.stop();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "the file is not ours");
}

#[test]
fn connections_made_before_the_start_and_during_a_restart_are_served() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.top("listen = \"fd:web\"").routes(&[]);
    let socket = tcp();
    let address = socket.local_addr().unwrap();
    let sockets = HandOver::new().with("web", socket);
    // Several, of which none was accepted by anybody yet.
    let call = || {
        let wire = Wire::connect(address).unwrap();
        wire.send(Request::get("/items").bytes(address)).unwrap();
        wire
    };
    let is_served = |wire: &mut Wire| read_response(wire, "GET").expect("an answer").expect(200);
    let mut early: Vec<_> = (0..5).map(|_| call()).collect();
    let first = start(&setup, &sockets);
    for wire in &mut early {
        is_served(wire);
    }
    first.stop();
    let mut between: Vec<_> = (0..5).map(|_| call()).collect();
    let second = start(&setup, &sockets);
    for wire in &mut between {
        is_served(wire);
    }
    // One caller after the other through three more restarts: none is refused.
    let ends = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut served = 0;
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                is_served(&mut call());
                served += 1;
            }
            served
        });
        let mut running = second;
        for _ in 0..3 {
            running.stop();
            running = start(&setup, &sockets);
            running.wait_ready(10.0);
        }
        ends.store(true, std::sync::atomic::Ordering::Relaxed);
        let served = calling.join().expect("every call was answered");
        assert!(served > 3, "only {served}");
    });
}

#[test]
fn a_route_the_admin_listener_and_the_probes_take_their_own_sockets() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup
        .route("listen = [\"fd:app\", \"127.0.0.1:0\"]")
        .section("[admin]\nlisten = \"fd:admin\"\nprobe_listen = \"fd:probes\"");
    let (app, admin) = (tcp(), tcp());
    // Probes are for anybody, also where no rule says who may call.
    let probes = TcpListener::bind("0.0.0.0:0").unwrap();
    let wanted = [app.local_addr().unwrap(), admin.local_addr().unwrap()];
    let port = probes.local_addr().unwrap().port();
    let sockets = HandOver::new().with("probes", probes).with("app", app).with("admin", admin);
    let bearerd = start(&setup, &sockets);
    bearerd.wait_ready(10.0);
    assert_eq!((bearerd.address(), bearerd.admin()), (wanted[0], wanted[1]));
    assert_eq!(bearerd.probe_address().port(), port);
    bearerd.get("/items").expect(200);
    Request::get("/livez").send(bearerd.probe_address()).expect(200);
    let asked = Command::new(crate::support::BINARY).args(["healthcheck", "--admin", "fd:admin"]).output().unwrap();
    let told = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(2), "{told}");
    assert!(told.contains("--admin localhost:9180"), "{told}");
    let url = format!("http://{}", wanted[1]);
    let asked = Command::new(crate::support::BINARY).args(["healthcheck", "--admin", &url]).status().unwrap();
    assert!(asked.success());
}

#[test]
fn what_was_not_handed_over_is_a_mistake_that_lists_what_was() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.top("listen = [\"fd:web\", \"fd:app\"]");
    let sockets = HandOver::new().with("app", tcp()).with("bearerd.socket", tcp());
    let line =
        "bearerd.toml:1:11: F013 listen: no socket called \"web\" was handed over, but \"app\", \"bearerd.socket\"";
    refused(&setup, &sockets, &[line, "1 mistake; `bearerd explain CODE`"]);
    refused(&setup, &HandOver::new(), &["2 mistakes", "F013 listen"]);
    // For another process, as behind a shell script without exec.
    let other = setup.clone().env("LISTEN_PID", "1");
    refused(&other, &sockets, &["LISTEN_PID is \"1\"", "must start bearerd with exec"]);
    let ended = setup.run_verb("run").expect_code(78);
    assert!(ended.stderr.contains("nothing was handed over: LISTEN_FDS is not set"), "{}", ended.stderr);
    let Ended { stdout, .. } = setup.run_verb("check").expect_code(0);
    assert!(stdout.contains("fd:web is checked at start"), "{stdout}");
}

#[test]
fn what_cannot_be_listened_on_is_a_mistake() {
    let (_endpoint, _upstream, setup) = stage(300);
    let setup = setup.top("listen = \"fd:web\"");
    let silent = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let packets = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let check = |socket: std::os::fd::OwnedFd, kind: &str| {
        let sockets = HandOver::new().with("web", tcp()).with("web", socket);
        refused(&setup, &sockets, &["F013 listen: ", &format!("\"web\" is {kind}; it needs"), "ListenStream="]);
    };
    check(datagrams.into(), "a datagram socket");
    check(silent().into(), "a socket that does not listen");
    check(packets.into(), "a socket of packets");
    check(file.into(), "no socket of a kind known here");
}

#[test]
fn a_socket_beyond_loopback_needs_a_rule_who_may_call() {
    let (_endpoint, _upstream, setup) = stage(300);
    let everywhere = || TcpListener::bind("0.0.0.0:0").unwrap();
    let top = setup.clone().top("listen = \"fd:web\"").routes(&[]);
    let sockets = HandOver::new().with("web", tcp()).with("web", everywhere());
    let words = ["bearerd.toml:1:10: F009 listen: 0.0.0.0:", ", handed over as fd:web,", "[callers]: from = ["];
    refused(&top, &sockets, &words);
    let admin = setup.section("[admin]\nlisten = \"fd:web\"");
    refused(&admin, &sockets, &["F009 admin.listen: 0.0.0.0:"]);
    let socket = everywhere();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
    let ruled = top.clone().section("[callers]\nfrom = [\"loopback\"]");
    let bearerd = start(&ruled, &HandOver::new().with("web", socket));
    bearerd.wait_ready(10.0);
    Request::get("/items").send(address).expect(200);
    // And its Host rules are those of a listener beyond loopback.
    Request::get("/items").field("Host", "php-proxy").send(address).expect(200);
    Request::get("/items").field("Host", "evil.example").send(address).expect_problem(421, "C003");
}

#[test]
fn a_rule_about_users_holds_on_a_unix_socket_that_was_handed_over() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    let own = rustix::process::geteuid().as_raw();
    for (uid, wanted) in [(own, 200), (own + 1, 403)] {
        let path = setup.directory().join(format!("{wanted}.sock"));
        let sockets = HandOver::new().with("web", UnixListener::bind(&path).unwrap());
        let ruled = setup.clone().top("listen = \"fd:web\"").section(&format!("[callers]\nuids = [{uid}]"));
        let bearerd = start(&ruled.routes(&[]), &sockets);
        bearerd.wait_ready(10.0);
        let (status, told) = by_socket(&path, &["http://localhost/items"], None);
        assert_eq!(status, wanted, "{told}");
        assert!(status == 200 || told.contains("C006"), "{told}");
    }
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_socket_that_no_listen_names_is_told_and_closed() {
    let (_endpoint, _upstream, setup) = stage(300);
    let spare = tcp();
    let address = spare.local_addr().unwrap();
    let sockets = HandOver::new().with("spare", spare);
    let bearerd = start(&setup, &sockets);
    // Here it is closed too, so that nobody has it open but a bearerd that kept it.
    drop(sockets);
    bearerd.wait_for_log("was handed over, but no listen names it", 5.0);
    assert!(!bearerd.log_with(&format!("\\\"spare\\\" ({address})")).is_empty(), "{:?}", bearerd.log());
    let refused = || std::net::TcpStream::connect(address).is_err();
    eventually("nobody listens", seconds(5.0), refused);
}

#[test]
fn systemds_own_launcher_starts_it_at_the_first_connection() {
    let launcher = "systemd-socket-activate";
    if skip_unless(installed(launcher), launcher) || skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, setup) = stage(300);
    let setup = setup.top("listen = \"fd:web\"").routes(&[]);
    let path = setup.directory().join("first.sock");
    let run = setup.command("run");
    let mut command = Command::new(launcher);
    command.arg("--listen").arg(&path).arg("--fdname=web").arg(run.get_program()).args(run.get_args());
    command.current_dir(setup.directory()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let bearerd = Bearerd::watch(&setup, command.spawn().unwrap());
    eventually("the launcher listens", seconds(10.0), || path.exists());
    assert!(bearerd.log_with("admin listening").is_empty());
    let (status, told) = by_socket(&path, &["http://localhost/items"], None);
    assert_eq!((status, upstream.count()), (200, 1), "{told}");
    assert!(!bearerd.log_with("admin listening").is_empty(), "{:?}", bearerd.log());
    bearerd.stop();
}
