//! From settings to exit: start, wait for a signal, drain.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{App, StartError};
use crate::clock::Clock;
use crate::config::Settings;
use crate::server::Inherited;

/// Runs until SIGTERM or SIGINT, then drains; a second signal ends at once.
///
/// # Errors
/// [`StartError`] if it did not come to run.
pub fn run(settings: Settings, inherited: Inherited) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    let result = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let app = App::start(settings, inherited, Clock::boot()).await?;
        let name = signals.next().await;
        tracing::info!(signal = name, "shutting down: finishing what is in flight");
        tokio::select! {
            finished = app.drain() => tracing::info!(finished, "ended"),
            name = signals.next() => tracing::warn!(signal = name, "a second signal: ending at once"),
        }
        Ok(())
    });
    // After a second signal workers may still be busy; the end of the process is their end.
    runtime.shutdown_background();
    result
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
