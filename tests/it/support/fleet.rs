//! Several bearerds that live by one refresh token that works once, at a real server that ends the grant if it comes twice.

use std::time::Duration;

use rustix::process::Signal;

use super::client::{Load, Request};
use super::provider::{Provider, SECRET};
use super::{Bearerd, Setup, eventually, pause, seconds};

/// Bearerds with one configuration and one `state_directory`, and requests through all of them.
pub(crate) struct Fleet {
    pub(crate) provider: Provider,
    pub(crate) setup: Setup,
    pub(crate) bearerds: Vec<Bearerd>,
}

/// What came of a race.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) renewals: u64,
    pub(crate) requests: usize,
}

impl Fleet {
    /// A server with these switches and a grant of its own, and no bearerd yet; `None` if it is not installed.
    pub(crate) fn new(lifetime: u64, switches: &[&str]) -> Option<Self> {
        Provider::start_with(lifetime, switches).map(Self::at)
    }

    /// At this server, with a grant of its own.
    pub(crate) fn at(provider: Provider) -> Self {
        let first = provider.refresh_token("svc", "");
        // Early enough that a lost answer can be made up for: the server counts lifetimes in whole seconds from the last one.
        let credential = format!(
            "client_secret = \"{SECRET}\"\nrefresh_token = {{ file = \"first\" }}\nrefresh = {{ early = \"50%\" }}"
        );
        let setup = provider.setup(&credential).top("state_directory = \"state\"");
        setup.secret_file("first", &format!("{first}\n"));
        std::fs::create_dir(setup.directory().join("state")).unwrap();
        Self { provider, setup, bearerds: Vec::new() }
    }

    /// Starts so many at once, so that all of them want the first token at the same moment.
    pub(crate) fn start(&mut self, count: usize) {
        let mut started: Vec<_> = (0..count).map(|_| self.setup.spawn()).collect();
        started.iter_mut().for_each(Bearerd::wait_until_it_listens);
        self.bearerds.append(&mut started);
    }

    pub(crate) fn wait_ready(&self) {
        for bearerd in &self.bearerds {
            bearerd.wait_ready(30.0);
        }
    }

    /// Lets all of them renew under load, so many times together.
    pub(crate) fn race(&self, renewals: u64, within: Duration) -> Outcome {
        self.wait_ready();
        let loads: Vec<_> = self
            .bearerds
            .iter()
            .map(|each| Load::start(each.address(), 1, seconds(0.05), Request::get("/items")))
            .collect();
        eventually("the renewals", within, || self.provider.count("refreshes") >= renewals);
        let reports: Vec<_> = loads.into_iter().map(Load::stop).collect();
        for report in &reports {
            report.expect_all_ok();
        }
        let requests = reports.iter().map(|report| report.total()).sum();
        Outcome { renewals: self.provider.count("refreshes"), requests }
    }

    /// Fails unless no refresh token ever came twice.
    #[track_caller]
    pub(crate) fn expect_no_reuse(&self) {
        let counts = ["reused", "revoked_grants", "refusals"].map(|name| (name, self.provider.count(name)));
        assert_eq!(counts.map(|(_, count)| count), [0; 3], "{counts:?}");
    }

    /// Kills one, wherever it is, and starts another in its place.
    pub(crate) fn replace(&mut self, index: usize) {
        let mut killed = self.bearerds.swap_remove(index);
        killed.signal(Signal::KILL);
        killed.wait_exit(5.0);
        self.start(1);
    }

    /// Kills and replaces one after the other at random moments.
    pub(crate) fn kill_at_random(&mut self, times: usize, at_most_apart: Duration) {
        for _ in 0..times {
            pause(at_most_apart.mul_f64(fastrand::f64()));
            let index = fastrand::usize(..self.bearerds.len());
            self.replace(index);
        }
    }
}
