//! What the service manager hears of a running bearerd.
//!
//! Owns when it is told: ready as soon as the first token requests have been answered, either way; another line when that changes;
//! alive while the control thread and every worker get round to their tasks.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::App;
use crate::admin::Current;
use crate::notify::Notifier;
use crate::server::Pulse;
use crate::shutdown::Shutdown;

/// How often it is looked how everything stands, before and after the start has settled.
const BEFORE: Duration = Duration::from_millis(50);
const AFTER: Duration = Duration::from_secs(1);

impl App {
    /// Tells the service manager how it goes, until what is returned is dropped.
    pub(super) fn tell(&self, notifier: &Notifier) -> JoinSet<()> {
        let mut telling = JoinSet::new();
        if notifier.is_heard() {
            telling.spawn_local(tell_standing(notifier.clone(), Rc::clone(&self.admin)));
        }
        if let Some(limit) = notifier.watchdog() {
            let parts = (self.threads.pulse(), self.unready.1.clone());
            telling.spawn_local(tell_alive(notifier.clone(), limit / 2, parts.0, parts.1));
        }
        telling
    }
}

async fn tell_standing(notifier: Notifier, admin: Rc<Current>) {
    let mut told = None;
    loop {
        let standing = admin.standing();
        if standing.draining {
            // The end has words of its own.
            return;
        }
        match &told {
            None if standing.started => notifier.ready(&standing.line),
            Some(line) if *line != standing.line => notifier.status(&standing.line),
            _ => {}
        }
        if told.is_some() || standing.started {
            told = Some(standing.line);
        }
        tokio::time::sleep(if told.is_some() { AFTER } else { BEFORE }).await;
    }
}

/// A worker that hangs keeps this from going on, and so does a control thread that hangs.
async fn tell_alive(notifier: Notifier, interval: Duration, pulse: Pulse, draining: Shutdown) {
    loop {
        // Workers end by themselves when it drains.
        if pulse.felt().await.is_err() && !draining.is_fired() {
            return tracing::error!("a worker has ended: the service manager's watchdog is left to act");
        }
        notifier.alive();
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};

    use tokio::net::UnixDatagram;
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;
    use crate::notify::Announced;
    use crate::server::{self, Policy, Settings};
    use crate::shutdown;

    /// Serves nothing.
    struct Idle;

    impl server::Handler for Idle {
        type Body = http_body_util::Empty<bytes::Bytes>;

        async fn handle(
            &self,
            _: Rc<server::ConnectionInfo>,
            _: http::Request<server::CallerBody>,
        ) -> server::Answer<Self::Body> {
            http::Response::default().into()
        }

        fn refuse(&self, _: &server::ConnectionInfo, _: server::Refusal, _: bool) -> bytes::Bytes {
            bytes::Bytes::new()
        }
    }

    const SETTINGS: Settings = Settings {
        request_head: None,
        keep_alive: None,
        response_unread: None,
        head: 8192,
        connections: 1,
        owners: false,
    };

    #[tokio::test]
    async fn a_worker_that_hangs_lets_the_watchdog_fire() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let socket = Some(path.to_str().unwrap().to_owned());
        let notifier = Notifier::new(&Announced { socket, watchdog: Some("100000".to_owned()), watchdog_pid: None });
        let (_leave, leaving) = shutdown::channel();
        let (_end, ending) = shutdown::channel();
        let (hang, hung) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (release, released) = mpsc::channel::<()>();
        let (asked, hangs, released) = (Arc::clone(&hang), Arc::clone(&hung), Arc::new(Mutex::new(released)));
        // One of both workers stops when it is told to, and goes on when it is released.
        let make = move || {
            let (asked, hangs, released) = (Arc::clone(&asked), Arc::clone(&hangs), Arc::clone(&released));
            tokio::task::spawn_local(async move {
                asked.notified().await;
                hangs.notify_one();
                released.lock().unwrap().recv().unwrap();
            });
            Idle
        };
        let gauge = prometheus::IntGauge::new("a", "b").unwrap();
        let policy = Policy::new(SETTINGS, None);
        let (_workers, threads) = server::start(2, &policy, make, (&leaving, &ending), &gauge).unwrap();
        let heard = async |within: u64| {
            let mut bytes = [0; 64];
            let count = timeout(Duration::from_millis(within), manager.recv(&mut bytes)).await.ok()?.unwrap();
            Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
        };
        let interval = notifier.watchdog().unwrap() / 2;
        let watch = async {
            for _ in 0..3 {
                assert_eq!(heard(5000).await.as_deref(), Some("WATCHDOG=1"));
            }
            hang.notify_one();
            hung.notified().await;
            // One may have been on its way.
            let _ = heard(150).await;
            assert_eq!(heard(300).await, None, "nobody may be told that a worker lives that hangs");
            release.send(()).unwrap();
            assert_eq!(heard(5000).await.as_deref(), Some("WATCHDOG=1"));
        };
        tokio::select! {
            () = tell_alive(notifier, interval, threads.pulse(), leaving) => panic!("no worker has ended"),
            () = watch => {}
        }
    }
}
