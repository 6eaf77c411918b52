//! What a service manager hears of it: `sd_notify(3)`, `Type=notify-reload`, the watchdog.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bearerd, Reply, Setup, eventually, now, seconds, stage};

/// What stands at the other end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn at(setup: &Setup) -> (Self, String) {
        let path = setup.directory().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        (Self(socket), path.to_str().unwrap().to_owned())
    }

    /// The next word; `None` if none comes within the time.
    fn hears(&self, within: f64) -> Option<String> {
        self.0.set_read_timeout(Some(Duration::from_secs_f64(within))).unwrap();
        let mut bytes = [0; 1024];
        let count = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..count].to_vec()).unwrap())
    }

    /// Every word up to the first that begins so.
    #[track_caller]
    fn hears_of(&self, beginning: &str, within: f64) -> String {
        let deadline = now() + seconds(within);
        loop {
            let word = self.hears(deadline.saturating_duration_since(now()).as_secs_f64().max(0.01));
            match word {
                Some(word) if word.starts_with(beginning) => return word,
                Some(_) => {}
                None => panic!("{beginning:?} was not heard within {within} s"),
            }
        }
    }
}

fn started(setup: &Setup, socket: &str, watchdog: Option<&str>) -> Bearerd {
    let setup = setup.clone().env("NOTIFY_SOCKET", socket);
    match watchdog {
        Some(time) => setup.env("WATCHDOG_USEC", time).start(),
        None => setup.start(),
    }
}

#[test]
fn it_is_ready_when_the_first_token_has_come_and_stopping_at_the_end() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.next([Reply::Token.late(1.0)]);
    let (manager, socket) = Manager::at(&setup);
    let mut bearerd = started(&setup, &socket, None);
    assert_eq!(manager.hears(0.5), None, "it was said to be ready before it was");
    assert_eq!(manager.hears(10.0).as_deref(), Some("READY=1\nSTATUS=ready"));
    bearerd.signal(Signal::TERM);
    assert_eq!(manager.hears(5.0).as_deref(), Some("STOPPING=1\nSTATUS=shutting down: finishing what is in flight"));
    assert_eq!(bearerd.wait_exit(5.0), Some(0));
}

#[test]
fn it_has_started_also_without_a_token_and_the_status_says_why() {
    let (endpoint, _upstream, setup) = stage(300);
    endpoint.go_down();
    let (manager, socket) = Manager::at(&setup);
    let bearerd = started(&setup, &socket, None);
    let word = manager.hears(10.0).unwrap();
    assert!(word.starts_with("READY=1\nSTATUS=not ready; T010 api: "), "{word}");
    endpoint.come_back();
    assert_eq!(manager.hears_of("STATUS=", 15.0), "STATUS=ready");
    bearerd.stop();
}

#[test]
fn abstract_addresses_are_heard_too() {
    let (_endpoint, _upstream, setup) = stage(300);
    let name = format!("bearerd-test-{}", setup.directory().file_name().unwrap().to_string_lossy());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let manager = Manager(socket);
    let bearerd = started(&setup, &format!("@{name}"), None);
    manager.hears_of("READY=1", 10.0);
    bearerd.stop();
}

#[test]
fn a_reload_is_told_with_its_time() {
    let (_endpoint, _upstream, setup) = stage(300);
    let (manager, socket) = Manager::at(&setup);
    let bearerd = started(&setup, &socket, None);
    manager.hears_of("READY=1", 10.0);
    bearerd.signal(Signal::HUP);
    let word = manager.hears_of("RELOADING=1", 5.0);
    let time = word.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0, "{word}");
    manager.hears_of("READY=1", 5.0);
    // One that fails is over as well.
    std::fs::write(setup.directory().join("bearerd.toml"), "broken").unwrap();
    bearerd.signal(Signal::HUP);
    manager.hears_of("RELOADING=1", 5.0);
    manager.hears_of("READY=1", 5.0);
    bearerd.stop();
}

#[test]
fn the_watchdog_hears_of_it_until_its_end_and_not_while_it_stands_still() {
    let (_endpoint, upstream, setup) = stage(300);
    upstream.on("/slow", |exchange| {
        crate::support::pause(seconds(1.5));
        exchange.answer(200, &[], "")
    });
    let (manager, socket) = Manager::at(&setup);
    let mut bearerd = started(&setup, &socket, Some("400000"));
    for _ in 0..3 {
        manager.hears_of("WATCHDOG=1", 5.0);
    }
    bearerd.signal(Signal::STOP);
    eventually("silence", seconds(3.0), || manager.hears(0.5).is_none());
    bearerd.signal(Signal::CONT);
    manager.hears_of("WATCHDOG=1", 5.0);
    // While it drains, too.
    let address = bearerd.address();
    let caller = std::thread::spawn(move || crate::support::Request::get("/slow").send(address).status);
    eventually("the request", seconds(5.0), || !upstream.requests_for("/slow").is_empty());
    bearerd.signal(Signal::TERM);
    manager.hears_of("STOPPING=1", 5.0);
    for _ in 0..2 {
        manager.hears_of("WATCHDOG=1", 1.0);
    }
    assert_eq!(caller.join().unwrap(), 200);
    assert_eq!(bearerd.wait_exit(5.0), Some(0));
}
