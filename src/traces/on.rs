//! The traces of a running bearerd: who records, and who sends, as the settings in force say.
//!
//! Another configuration begins another exporter beside the one before it, which ends when the last request that records to it has.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::task::JoinSet;

use super::delivery::Collector;
use super::export::Exporter;
use super::ids::Context;
use super::queue::{self, Sink};
use super::span::{Kind, Span};
use super::{Settings, TokenRequest};
use crate::metrics::{Metrics, SpanMetrics};
use crate::shutdown::{self, Shutdown, Trigger};
use crate::tls;
use crate::upstream::Connector;

/// Where the requests of one gateway are recorded, if they are.
#[derive(Clone, Debug, Default)]
pub struct Recording(Option<Arc<Sink>>);

/// Where whatever outlives a configuration records.
#[derive(Clone, Debug, Default)]
pub struct Current(Arc<ArcSwapOption<Sink>>);

/// Recording and sending.
#[derive(Debug)]
pub struct Traces {
    written: Option<Settings>,
    current: Current,
    tls: Option<tls::Client>,
    metrics: SpanMetrics,
    ending: (Trigger, Shutdown),
}

/// What a configuration wants, ready to begin.
#[derive(Debug)]
pub struct Planned(Change);

#[derive(Debug)]
enum Change {
    None,
    To(Option<Box<(Settings, Connector)>>),
}

impl Recording {
    pub(crate) fn sink(&self) -> Option<&Arc<Sink>> {
        self.0.as_ref()
    }
}

impl Current {
    /// Records a token request that has ended. There are few, so the share does not count: all of them or, where nothing that begins
    /// here is recorded, none.
    pub fn token_request(&self, request: &TokenRequest<'_>) {
        if let Some(sink) = self.0.load().as_ref().filter(|sink| sink.sampler.share > 0.0) {
            sink.put(vec![token_span(request)]);
        }
    }
}

fn token_span(request: &TokenRequest<'_>) -> Span {
    let mut span = Span::new(Context::root(), Kind::Client, "token request", request.began);
    span.end = request.began + request.took;
    span.set("bearerd.credential", request.credential.to_owned());
    span.set("bearerd.outcome", request.outcome);
    if let Some(status) = request.status {
        span.set("http.response.status_code", status);
    }
    if let Some(reason) = request.failure {
        span.set("error.type", reason.code());
        (span.has_failed, span.failure) = (true, Some(reason));
    }
    span
}

impl Traces {
    /// Nothing is recorded yet.
    pub fn new(metrics: &Metrics) -> Self {
        let (current, metrics) = (Current::default(), metrics.spans.clone());
        Self { written: None, current, tls: None, metrics, ending: shutdown::channel() }
    }

    /// Makes what is `wanted`, unless it is there.
    ///
    /// # Errors
    /// Those of `connector`.
    pub fn plan<E>(
        &self,
        wanted: Option<&Settings>,
        connector: impl FnOnce(&Settings) -> Result<Connector, E>,
    ) -> Result<Planned, E> {
        if self.written.as_ref() == wanted {
            return Ok(Planned(Change::None));
        }
        let make = |settings: &Settings| Ok(Box::new((settings.clone(), connector(settings)?)));
        wanted.map(make).transpose().map(|made| Planned(Change::To(made)))
    }

    /// Begins what is planned.
    pub fn adopt(&mut self, planned: Planned, background: &mut JoinSet<()>) {
        let Change::To(wanted) = planned.0 else { return };
        (self.written, self.tls) = (None, None);
        let sink = wanted.map(|wanted| {
            let (settings, connector) = *wanted;
            self.tls = connector.tls().cloned();
            let (sink, queue) = queue::new(settings.sampler, settings.batches, self.metrics.clone());
            let collector = Collector {
                endpoint: settings.endpoint.clone(),
                headers: settings.headers.clone(),
                connector,
                limit: settings.batches.request,
            };
            let about = (settings.resource.clone(), settings.batches);
            let exporter = Exporter::new(collector, about, queue, self.metrics.clone());
            background.spawn_local(exporter.run(self.ending.1.clone()));
            self.written = Some(settings);
            sink
        });
        self.current.0.store(sink);
    }

    /// Where requests are recorded from now on.
    pub fn recording(&self) -> Recording {
        Recording(self.current.0.load_full())
    }

    /// Where they are at any time.
    pub fn current(&self) -> Current {
        self.current.clone()
    }

    /// The TLS towards the collector, by its name in the configuration.
    pub fn tls(&self) -> impl Iterator<Item = (String, &tls::Client)> {
        self.tls.iter().map(|tls| ("traces".to_owned(), tls))
    }

    /// Nothing more will be recorded: what is left is sent, within a deadline.
    pub fn end(&self) {
        self.ending.0.fire();
    }
}
