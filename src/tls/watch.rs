//! The one task that looks after TLS files: changed ones are used for the next handshakes, ends that come near are told.
//!
//! Files are compared by content, so that it makes no difference how they are replaced: in place, by a rename, or by the
//! `..data` link of a Kubernetes volume. Files that cannot be used leave everything as it was.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;

use super::files::{Files, Print, Role};
use super::live::{Live, Recipe, Renewable};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reason::Reason;
use crate::shutdown::Shutdown;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);
/// An end that is nearer than this is worth a warning: certificates are commonly renewed 30 days before it.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Between two warnings about the same end.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// Live configurations, each under its name in the configuration file.
pub struct Watch {
    watched: Vec<Watched>,
    clock: Clock,
}

struct Watched {
    name: String,
    live: Box<dyn Renewable>,
    expiry: prometheus::GaugeVec,
    renewed: IntCounter,
    failed: IntCounter,
    /// Files that could not be used when they were last looked at. A pair is written one file after the other, so only
    /// what stays unusable is told.
    suspect: Option<Suspect>,
    reminded: SystemTime,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Suspect {
    print: Print,
    is_told: bool,
}

impl Watch {
    /// Nothing to look after yet.
    pub fn new(clock: Clock) -> Self {
        Self { watched: Vec::new(), clock }
    }

    /// Looks after a configuration and publishes when its certificates end. `name` is its label: `tls`, `routes.api`.
    pub fn follow<S: Recipe>(&mut self, name: impl Into<String>, live: &Live<S>, metrics: &Metrics) {
        if Renewable::wanted(live).is_empty() {
            return;
        }
        let name = name.into();
        let reloads = metrics.tls_reloads(&name);
        let watched = Watched {
            name,
            live: Box::new(live.clone()),
            expiry: metrics.certificate_expiry.clone(),
            renewed: reloads.success,
            failed: reloads.failure,
            suspect: None,
            // The configuration was checked a moment ago, and what ends soon was told then.
            reminded: self.clock.wall(),
        };
        watched.publish();
        self.watched.push(watched);
    }

    /// Looks at the files until shutdown.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        while !self.watched.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => (),
                () = shutdown.fired() => return,
            }
            for watched in &mut self.watched {
                watched.look().await;
                watched.remind(self.clock.wall());
            }
        }
    }
}

impl Watched {
    async fn look(&mut self) {
        let wanted = self.live.wanted();
        // A file may lie on a file system that has gone away, and this thread has more to do.
        let Ok(files) = tokio::task::spawn_blocking(move || Files::read(&wanted)).await else { return };
        let print = files.print();
        if print == self.live.print() {
            self.suspect = None;
            return;
        }
        let before = self.suspect.filter(|suspect| suspect.print == print);
        if before.is_some_and(|suspect| suspect.is_told) {
            return;
        }
        match self.live.renew(&files) {
            Ok(()) => {
                self.suspect = None;
                self.renewed.inc();
                self.reminded = UNIX_EPOCH;
                self.publish();
                tracing::info!(certificate = self.name, "TLS files of {} have changed and are in use", self.name);
            }
            Err(error) => {
                self.suspect = Some(Suspect { print, is_told: before.is_some() });
                if before.is_some() {
                    self.failed.inc();
                    let (code, why) = (Reason::ConfigFile.code(), crate::log::chain(&error));
                    let name = &self.name;
                    tracing::error!(
                        code,
                        certificate = name,
                        "{code} {name}: {why}; what was loaded before stays in use"
                    );
                }
            }
        }
    }

    /// Says once a day what ends soon.
    fn remind(&mut self, now: SystemTime) {
        if now.duration_since(self.reminded).is_ok_and(|since| since < REMIND) {
            return;
        }
        self.reminded = now;
        for warning in warnings(&self.live.ends(), now) {
            tracing::warn!(certificate = self.name, "{}: {warning}", self.name);
        }
    }

    fn publish(&self) {
        for (role, end) in self.live.ends() {
            let seconds = end.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
            let label = match role {
                Role::Ca | Role::ClientCa => &format!("{}.{}", self.name, role.key()),
                Role::Certificate | Role::Key => &self.name,
            };
            self.expiry.with_label_values(&[label.as_str()]).set(seconds);
        }
    }
}

/// What is worth a warning about certificates that end then.
fn warnings(ends: &[(Role, SystemTime)], now: SystemTime) -> Vec<String> {
    let warning = |(role, end): &(Role, SystemTime)| {
        let date = humantime::format_rfc3339_seconds(*end);
        let what = match role {
            Role::Ca | Role::ClientCa => format!("the last authority of the {role}"),
            Role::Certificate | Role::Key => "the certificate".to_owned(),
        };
        match end.duration_since(now) {
            Ok(left) if left < SOON => {
                let days = left.as_secs() / (24 * 3600);
                Some(format!("{what} ends in {days} day{}, on {date}", if days == 1 { "" } else { "s" }))
            }
            Ok(_) => None,
            Err(_) => Some(format!("{what} has expired on {date}")),
        }
    };
    ends.iter().filter_map(warning).collect()
}

impl<S: Recipe> Live<S> {
    /// What is worth a warning: certificates that have ended or end within 14 days, one line each.
    pub fn warnings(&self, now: SystemTime) -> Vec<(Role, String)> {
        let one = |end: (Role, SystemTime)| Some((end.0, warnings(&[end], now).pop()?));
        self.ends().into_iter().filter_map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Directory};
    use crate::tls::{Server, ServerSettings};

    struct Stage {
        directory: Directory,
        authority: Authority,
        metrics: Metrics,
        server: Server,
        watched: Watched,
    }

    impl Stage {
        fn new() -> Self {
            let (directory, authority) = (Directory::new(), Authority::new("us"));
            let identity = directory.identity(&authority, "a.example");
            let server = Server::load(ServerSettings { identity, client_ca: None }).unwrap();
            let metrics = Metrics::new();
            let mut watch = Watch::new(Clock::for_tests());
            watch.follow("tls", &server, &metrics);
            Self { directory, authority, metrics, server, watched: watch.watched.remove(0) }
        }

        /// Writes a certificate of this name that ends with this year; its key is another one.
        fn write_certificate(&self, year: i32) -> String {
            let (certificate, key) =
                self.authority.issue("b.example", |params| params.not_after = rcgen::date_time_ymd(year, 1, 1));
            self.directory.write("cert.pem", &certificate);
            key
        }

        #[track_caller]
        fn check(&self, before: &std::sync::Arc<rustls::ServerConfig>, is_same: bool, success: u64, failure: u64) {
            assert_eq!(std::sync::Arc::ptr_eq(before, &self.server.config()), is_same);
            assert_eq!((self.watched.renewed.get(), self.watched.failed.get()), (success, failure));
        }
    }

    #[tokio::test]
    async fn changed_files_are_used_and_their_end_is_published() {
        let mut stage = Stage::new();
        let before = stage.server.config();
        stage.watched.look().await;
        stage.check(&before, true, 0, 0);
        let key = stage.write_certificate(2050);
        stage.directory.write("key.pem", &key);
        stage.watched.look().await;
        stage.check(&before, false, 1, 0);
        let line = "bearerd_tls_certificate_expiry_timestamp_seconds{certificate=\"tls\"} 2524608000";
        assert!(stage.metrics.render().contains(line), "{}", stage.metrics.render());
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_leave_everything_as_it_was_and_are_told_once() {
        let mut stage = Stage::new();
        let before = stage.server.config();
        let key = stage.write_certificate(2050);
        for (looks, failures) in [(1, 0), (1, 1), (3, 1)] {
            for _ in 0..looks {
                stage.watched.look().await;
            }
            stage.check(&before, true, 0, failures);
        }
        std::fs::remove_file(stage.directory.path().join("cert.pem")).unwrap();
        stage.watched.look().await;
        stage.watched.look().await;
        stage.check(&before, true, 0, 2);
        let key_again = stage.write_certificate(2051);
        assert_ne!(key, key_again);
        stage.directory.write("key.pem", &key_again);
        stage.watched.look().await;
        stage.check(&before, false, 1, 2);
    }

    #[tokio::test]
    async fn a_pair_that_is_written_one_after_the_other_is_no_failure() {
        let mut stage = Stage::new();
        let before = stage.server.config();
        let key = stage.write_certificate(2050);
        stage.watched.look().await;
        stage.directory.write("key.pem", &key);
        stage.watched.look().await;
        stage.watched.look().await;
        stage.check(&before, false, 1, 0);
    }

    #[test]
    fn what_ends_within_fourteen_days_is_worth_a_warning() {
        let day = Duration::from_secs(24 * 3600);
        let now = UNIX_EPOCH + 20_000 * day;
        let check = |role: Role, end: SystemTime, wanted: &[&str]| {
            assert_eq!(warnings(&[(role, end)], now), wanted);
        };
        check(Role::Certificate, now + 15 * day, &[]);
        check(Role::Certificate, now + 9 * day, &["the certificate ends in 9 days, on 2024-10-13T00:00:00Z"]);
        check(Role::Certificate, now - day, &["the certificate has expired on 2024-10-03T00:00:00Z"]);
        check(Role::Ca, now + day, &["the last authority of the CA file ends in 1 day, on 2024-10-05T00:00:00Z"]);
    }
}
