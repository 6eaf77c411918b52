//! The log: one line an event, on standard error.
//!
//! Owns the form of a line (text for people, JSON for machines), the level, and the escaping that keeps what callers and servers
//! wrote from looking like lines of ours. Refuses what HTTP and TLS libraries say below `warn`, whatever the level is, since
//! they may dump header fields, and more than one line of theirs in ten seconds, since callers can provoke them. There are no spans: an event carries all that it says.

mod form;
mod pace;
mod repeated;
mod share;
mod threshold;

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, OnceLock};

use http::HeaderName;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use form::Form;
use threshold::Limits;

pub use pace::{Intervals, Pace};
pub use repeated::{Over, Repeated};
pub use share::Share;
pub use threshold::{Heard, Threshold};

/// The target of the lines that there are one of for each request, if asked for.
pub const ACCESS: &str = "access";

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a line looks.
    pub format: Format,
    /// The least level written.
    pub level: Level,
    /// Of how many requests there is a line.
    pub access: Share,
    /// Where a request's id is; requests without one are given one. `None`: `x-request-id`, and nothing is made.
    pub request_id: Option<HeaderName>,
    /// The project that traces belong to, for [`Format::Gcp`].
    pub project: Option<String>,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
    /// Likewise, with the members that Google Cloud Logging knows.
    Gcp,
}

/// Starts logging to standard error as the settings say. Where something else logs already (a test), that goes on.
pub fn init(settings: &Settings) -> Threshold {
    let form = match settings.format {
        Format::Text => Form::Text,
        Format::Json => Form::Json,
        Format::Gcp => Form::Gcp { project: settings.project.clone() },
        Format::Auto if io::stderr().is_terminal() => Form::Text,
        Format::Auto => Form::Json,
    };
    let threshold = Threshold::new(settings);
    // One write a line, so that lines of several threads do not mix. Nobody could be told of a failure.
    let write = |line: &str| drop(io::stderr().lock().write_all(line.as_bytes()));
    let lines = Lines { form, limits: threshold.limits(), libraries: Pace::steady(), write };
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
    let _ = CURRENT.set(threshold.clone());
    threshold
}

/// What the process's one log hears, to be changed by hand; of a log that was never begun, one without effect.
pub fn threshold() -> Threshold {
    CURRENT.get().cloned().unwrap_or_else(|| {
        let (format, level, access) = (Format::Auto, Level::INFO, Share::NONE);
        Threshold::new(&Settings { format, level, access, request_id: None, project: None })
    })
}

static CURRENT: OnceLock<Threshold> = OnceLock::new();

/// An error with all its causes, on one line: `cannot read the file: permission denied`.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some say again what their cause says.
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

/// The layer that formats an event and writes it at once.
struct Lines<W> {
    form: Form,
    limits: Arc<Limits>,
    /// Of what libraries say.
    libraries: Pace,
    write: W,
}

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Lines<W> {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.limits.hears(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.limits.hears(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.limits.filter())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        let foreign = (!is_ours(target)).then_some(target);
        let unsaid = match foreign {
            None | Some(ACCESS) => Some(0),
            Some(_) => self.libraries.turn(),
        };
        if let Some(unsaid) = unsaid {
            (self.write)(&self.form.line(event, foreign, unsaid));
        }
    }
}

/// 1 for errors alone to 5 for everything.
fn verbosity(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Whether an event comes from this crate.
fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some("bearerd")
}

/// Has what this thread logs heard, whatever other threads do meanwhile. While there is but one subscriber, tracing asks the thread that
/// happens to change something whether anybody listens to a line, and believes it for all of them.
#[cfg(test)]
pub(crate) fn be_heard() {
    static ANOTHER: std::sync::LazyLock<tracing::Dispatch> =
        std::sync::LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));
    std::sync::LazyLock::force(&ANOTHER);
}

#[cfg(test)]
mod tests;
