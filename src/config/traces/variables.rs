//! What OpenTelemetry's variables say (its specification, "Environment Variable Specification" and "OTLP Exporter Configuration").
//!
//! A value that cannot be used is told and otherwise taken for none, as the specification wants it. No message shows a value that may
//! be a secret.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::super::context::Context;
use super::super::mistake::Place;
use super::super::value;
use super::is_own;
use crate::reason::Reason;
use crate::secret::SecretSource;
use crate::tls::{ClientSettings, Identity, Live};
use crate::traces::settings::{Batches, Sampler};

const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Waiting less would be waiting for nothing.
const SHORTEST: Duration = Duration::from_millis(10);
/// More than anybody waits.
const LONGEST: u64 = 3_600_000;
/// More spans would be more memory than a sidecar has.
const MOST: u64 = 1_000_000;

/// The variables of one load.
pub(super) struct Variables<'a> {
    context: &'a Context<'a>,
}

impl<'a> Variables<'a> {
    pub(super) fn of(context: &'a Context<'a>) -> Self {
        Self { context }
    }

    /// What a variable holds; one that holds nothing counts as not set.
    fn text(&self, name: &str) -> Option<&'a str> {
        let text = self.context.environment.value(name)??.expose().trim();
        Some(text).filter(|text| !text.is_empty())
    }

    /// The variable of traces, else that of all signals: `(its name, what it holds)`.
    fn of_exporter(&self, what: &str) -> Option<(String, &'a str)> {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| self.text(&name).map(|text| (name, text)))
    }

    /// Tells that a variable is not obeyed.
    pub(super) fn ignore(&self, name: &str, message: &str) {
        self.context.warning(Place::Variable(name.to_owned()), Reason::ConfigWrongValue, "", message);
    }

    /// Whether there are to be no traces all the same. What is written is only undone by the switch for it.
    pub(super) fn switch_off(&self, is_written: bool) -> bool {
        if self.text("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return true;
        }
        let exporters = self.text("OTEL_TRACES_EXPORTER").filter(|_| !is_written);
        if exporters.is_some_and(|list| list.split(',').all(|exporter| exporter.trim() != "otlp")) {
            return true;
        }
        if let Some((name, protocol)) =
            self.of_exporter("PROTOCOL").filter(|(_, protocol)| *protocol != "http/protobuf")
        {
            let protocol = value::quoted(protocol);
            self.ignore(
                &name,
                &format!(
                    "{protocol} is not spoken, http/protobuf is: the endpoint must be the port for that, usually 4318"
                ),
            );
        }
        false
    }

    /// The variable that says the endpoint, and what it says.
    pub(super) fn endpoint(&self) -> Option<(&'static str, &'a str)> {
        [TRACES_ENDPOINT, ENDPOINT].into_iter().find_map(|name| Some((name, self.text(name)?)))
    }

    /// Whether an endpoint needs no path of ours.
    pub(super) fn is_whole(&self, name: &str) -> bool {
        name == TRACES_ENDPOINT
    }

    /// Fields of the requests to the collector.
    pub(super) fn headers(&self) -> Vec<(HeaderName, SecretSource)> {
        let Some((variable, text)) = self.of_exporter("HEADERS") else { return Vec::new() };
        let header = |(name, value): (String, String)| {
            let name = HeaderName::try_from(name).ok().filter(|name| !is_own(name))?;
            HeaderValue::try_from(&value).ok().map(|_| (name, SecretSource::inline(value)))
        };
        pairs(text)
            .filter_map(|pair| {
                let found = pair.and_then(header);
                if found.is_none() {
                    self.ignore(
                        &variable,
                        "must be NAME=VALUE, further ones after commas, percent-encoded; one that is not is left out",
                    );
                }
                found
            })
            .collect()
    }

    /// What the spans are about.
    pub(super) fn resource(&self) -> Vec<(String, String)> {
        let name = self.text("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name.to_owned()));
        let variable = "OTEL_RESOURCE_ATTRIBUTES";
        // One that is wrong makes all of it wrong, says the specification.
        let pairs: Option<Vec<_>> = self.text(variable).map_or(Some(Vec::new()), |text| pairs(text).collect());
        if pairs.is_none() {
            self.ignore(variable, "must be KEY=VALUE, further ones after commas, percent-encoded; it is left out");
        }
        name.into_iter().chain(pairs.unwrap_or_default()).collect()
    }

    /// Which traces are recorded.
    pub(super) fn sampler(&self) -> Sampler {
        let Some(name) = self.text("OTEL_TRACES_SAMPLER") else { return Sampler::USUAL };
        let (follows_callers, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let share = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => self.ratio(),
            _ => {
                let name = value::quoted(name);
                self.ignore(
                    "OTEL_TRACES_SAMPLER",
                    &format!("{name} is no sampler that is known here; parentbased_always_on is taken"),
                );
                return Sampler::USUAL;
            }
        };
        Sampler { share, follows_callers }
    }

    fn ratio(&self) -> f64 {
        let variable = "OTEL_TRACES_SAMPLER_ARG";
        let Some(text) = self.text(variable) else { return 1.0 };
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.ignore(variable, "must be a share from 0 to 1; 1 is taken");
        }
        share.unwrap_or(1.0)
    }

    /// TLS towards the collector; `None` if it cannot be used.
    pub(super) fn tls(&self) -> Option<ClientSettings> {
        let path = |what: &str| self.of_exporter(what).map(|(_, path)| PathBuf::from(path));
        let identity = match (path("CLIENT_CERTIFICATE"), path("CLIENT_KEY")) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            _ => None,
        };
        let settings = ClientSettings { ca: path("CERTIFICATE"), identity, server_name: None };
        if settings == ClientSettings::default() {
            return Some(settings);
        }
        match Live::load(settings.clone()) {
            Ok(_) => Some(settings),
            Err(error) => {
                self.ignore(
                    "OTEL_EXPORTER_OTLP_CERTIFICATE",
                    &format!("{}; there are no traces", crate::log::chain(&error)),
                );
                None
            }
        }
    }

    /// How spans are gathered.
    pub(super) fn batches(&self) -> Batches {
        let usual = Batches::USUAL;
        let time =
            |number: Option<u64>, usual| number.map_or(usual, |number| Duration::from_millis(number).max(SHORTEST));
        let count = |name, usual| {
            self.number(name, MOST).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(usual)
        };
        let queue = count("OTEL_BSP_MAX_QUEUE_SIZE", usual.queue);
        let request = self.of_exporter("TIMEOUT").and_then(|(name, _)| self.number(&name, LONGEST));
        Batches {
            delay: time(self.number("OTEL_BSP_SCHEDULE_DELAY", LONGEST), usual.delay),
            size: count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.size).min(queue),
            queue,
            request: time(request, usual.request),
            patience: time(self.number("OTEL_BSP_EXPORT_TIMEOUT", LONGEST), usual.patience),
        }
    }

    fn number(&self, name: &str, most: u64) -> Option<u64> {
        let number = self.text(name)?.parse().ok().filter(|number| *number <= most);
        if number.is_none() {
            self.ignore(name, &format!("must be a number from 0 to {most}; the default is taken"));
        }
        number
    }
}

/// `a=b,c=d`, percent-encoded (W3C Baggage, without properties). `None` for what is none.
fn pairs(text: &str) -> impl Iterator<Item = Option<(String, String)>> {
    let decode = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(move |pair| {
        let (key, value) = pair.split_once('=')?;
        Some((decode(key).filter(|key| !key.is_empty())?, decode(value)?))
    })
}
