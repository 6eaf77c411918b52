//! What the service manager is told of a service: ready, reloading, stopping, alive, and one line for people (sd_notify(3)).
//!
//! Owns the datagrams. Refuses to fail: a manager that hears nothing decides by its own timeouts. Without a manager everything here
//! does nothing. Where it is told, comes from the environment as it was at start; no child inherits that.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use system::{Manager, monotonic_microseconds};

/// The variables in which a service manager says what it wants to hear, as they were at start.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// `NOTIFY_SOCKET`: a path, or `@NAME` in the abstract namespace.
    pub socket: Option<String>,
    /// `WATCHDOG_USEC`: microseconds, within which it wants to hear that the service lives.
    pub watchdog: Option<String>,
    /// `WATCHDOG_PID`: the process that this is for.
    pub watchdog_pid: Option<String>,
}

/// Tells the service manager. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    manager: Manager,
    watchdog: Option<Duration>,
    /// Said once.
    is_ready: AtomicBool,
}

impl Notifier {
    /// Tells nobody if nothing is announced. An address that cannot be one is a warning.
    pub fn new(announced: &Announced) -> Self {
        let Some(name) = announced.socket.as_deref().filter(|name| !name.is_empty()) else { return Self::default() };
        match Manager::open(name) {
            Ok(manager) => {
                let watchdog = announced.watchdog(std::process::id());
                Self(Some(Arc::new(Inner { manager, watchdog, is_ready: AtomicBool::new(false) })))
            }
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used; the service manager is told nothing");
                Self::default()
            }
        }
    }

    /// Whether there is somebody to be told.
    pub fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    /// Within which time [`Notifier::alive`] is wanted again, if it is.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// It has started. `status` is one line for people.
    pub fn ready(&self, status: &str) {
        if let Some(inner) = &self.0 {
            inner.is_ready.store(true, Ordering::Relaxed);
            inner.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
        }
    }

    /// Another line for people.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// A reload begins. The time in it tells apart reloads that overlap, as `Type=notify-reload` wants (systemd.service(5)).
    pub fn reloading(&self) {
        if self.is_ready() {
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()));
        }
    }

    /// The reload that [`Notifier::reloading`] began has ended, well or not: the service goes on.
    pub fn reloaded(&self) {
        // One that has not started is not made ready by a reload.
        if self.is_ready() {
            self.tell("READY=1");
        }
    }

    /// The end begins.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// It lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn is_ready(&self) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.is_ready.load(Ordering::Relaxed))
    }

    fn tell(&self, message: &str) {
        if let Some(inner) = &self.0 {
            inner.tell(message);
        }
    }
}

impl Inner {
    fn tell(&self, message: &str) {
        if let Err(error) = self.manager.tell(message) {
            tracing::warn!(%error, "the service manager cannot be told how the service is");
        }
    }
}

impl Announced {
    fn watchdog(&self, own_pid: u32) -> Option<Duration> {
        if self.watchdog_pid.as_ref().is_some_and(|pid| pid.parse() != Ok(own_pid)) {
            return None;
        }
        let microseconds = self.watchdog.as_ref()?.parse().ok().filter(|&microseconds| microseconds > 0)?;
        Some(Duration::from_micros(microseconds))
    }
}

/// Fields end with their line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn manager() -> (tempfile::TempDir, UnixDatagram, Notifier) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let announced = Announced {
            socket: Some(path.to_str().unwrap().to_owned()),
            watchdog: Some("3000000".to_owned()),
            watchdog_pid: None,
        };
        (directory, socket, Notifier::new(&announced))
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn the_manager_hears_each_word_as_a_datagram() {
        let (_directory, socket, notifier) = manager();
        notifier.ready("a\nb");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=a b");
        notifier.alive();
        assert_eq!(heard(&socket), "WATCHDOG=1");
        let before = monotonic_microseconds();
        notifier.reloading();
        let reloading = heard(&socket);
        let time: i64 = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=monotonic_microseconds()).contains(&time), "{time}");
        notifier.reloaded();
        assert_eq!(heard(&socket), "READY=1");
        notifier.stopping("end");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=end");
        assert_eq!(notifier.watchdog(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_reload_before_the_start_has_settled_is_no_readiness() {
        let (_directory, socket, notifier) = manager();
        notifier.reloading();
        notifier.reloaded();
        notifier.alive();
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }

    #[test]
    fn a_watchdog_for_another_process_or_without_a_time_is_none() {
        let check = |time: Option<&str>, pid: Option<&str>, wanted: Option<Duration>| {
            let own = |text: &str| text.to_owned();
            let announced = Announced { socket: None, watchdog: time.map(own), watchdog_pid: pid.map(own) };
            assert_eq!(announced.watchdog(7), wanted, "{time:?} {pid:?}");
        };
        check(Some("1500000"), None, Some(Duration::from_millis(1500)));
        check(Some("1500000"), Some("7"), Some(Duration::from_millis(1500)));
        check(Some("1500000"), Some("8"), None);
        check(Some("0"), None, None);
        check(Some("soon"), None, None);
        check(None, Some("7"), None);
    }

    #[test]
    fn no_manager_and_a_wrong_address_are_silence() {
        for socket in [None, Some(""), Some("relative"), Some("/no/such/socket")] {
            let notifier = Notifier::new(&Announced { socket: socket.map(str::to_owned), ..Announced::default() });
            notifier.ready("");
            notifier.stopping("");
        }
    }
}
