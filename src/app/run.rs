//! From settings to exit: start, reload when asked to, wait for a signal, drain.

use super::watch::{self, Watch};
use super::{App, Changes, StartError};
use crate::admin::{AskedReload, Reloaded};
use crate::clock::Clock;
use crate::config::{self, Mistakes, Settings, Sources};
use crate::log::{self, Threshold};
use crate::notify::Notifier;
use crate::platform::{Ends, Hangup};
use crate::runtime;
use crate::server::Inherited;

/// All that a run begins with.
#[derive(Debug)]
pub struct Start {
    /// What to run by.
    pub settings: Settings,
    /// What the service manager handed over.
    pub inherited: Inherited,
    /// Where the settings came from, to be read again.
    pub sources: Sources,
    /// [`config::print`] of the sources before they were read.
    pub print: [u8; 32],
    /// What is logged.
    pub threshold: Threshold,
    /// Tells the service manager.
    pub notifier: Notifier,
}

/// Runs until SIGTERM, SIGINT or `POST /quitquitquit`, then drains; a second signal ends at once. Reloads on SIGHUP, when the admin listener is asked to, and
/// when the configuration's files change, if they are watched.
///
/// # Errors
/// [`StartError`] if it did not come to run.
pub fn run(start: Start) -> Result<(), StartError> {
    let runtime = runtime::start()?;
    let result = runtime.block_on(async {
        let mut signals = Ends::listen()?;
        let mut hangup = Hangup::listen()?;
        let Start { settings, inherited, sources, print, threshold, notifier } = start;
        let mut watch = Watch::new(print);
        let mut reloader = Reloader { watches: settings.watch, sources, threshold };
        let mut app = App::start(settings, inherited, Clock::boot()).await?;
        let quit = app.quit();
        let _telling = app.tell(&notifier);
        app.observed().read_from(reloader.sources.file.as_ref().map(|file| file.display().to_string()));
        let name = loop {
            let cause = tokio::select! {
                name = signals.next() => break name,
                () = quit.asked() => break "POST /quitquitquit",
                () = hangup.next() => Cause::Signal,
                asked = app.asked_to_reload() => Cause::Asked(asked),
                () = watch.changed(&reloader.sources), if reloader.watches => Cause::Change,
            };
            notifier.reloading();
            tokio::select! {
                name = signals.next() => break name,
                () = reloader.reload(&mut app, &mut watch, cause) => notifier.reloaded(),
            }
        };
        notifier.stopping("shutting down: finishing what is in flight");
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

/// Why it reloads.
enum Cause {
    Signal,
    Change,
    Asked(AskedReload),
}

struct Reloader {
    sources: Sources,
    threshold: Threshold,
    /// Whether the files are watched.
    watches: bool,
}

/// Why a configuration was not taken over.
enum Refused {
    Mistakes(Mistakes),
    Start(StartError),
    Panic,
}

impl Reloader {
    /// Reads the configuration and takes it over, or leaves everything as it is and says why.
    async fn reload(&mut self, app: &mut App, watch: &mut Watch, cause: Cause) {
        let why = match cause {
            Cause::Signal => "SIGHUP",
            Cause::Change => "its files have changed",
            Cause::Asked(_) => "POST /reload",
        };
        if let Some(print) = watch::print(&self.sources).await {
            watch.knows(print);
        }
        let outcome = self.exchange(app).await;
        let (is_done, reloaded) = match outcome {
            Ok(changes) => {
                tracing::info!(why, "configuration reloaded: {changes}");
                let value = serde_json::to_value(&changes).unwrap_or_default();
                (true, Reloaded::Done { changes: value, summary: changes.to_string() })
            }
            Err(refused) => {
                let lines = refused.lines();
                for line in &lines {
                    tracing::error!(why, "configuration not reloaded, everything stays as it was: {line}");
                }
                (false, Reloaded::Failed(lines.join("\n")))
            }
        };
        app.metrics().count_reload(is_done);
        let (Reloaded::Done { summary: what, .. } | Reloaded::Failed(what)) = &reloaded;
        app.observed().reloaded(is_done, what.clone());
        if let Cause::Asked(asked) = cause {
            asked.answer(reloaded);
        }
    }

    async fn exchange(&mut self, app: &mut App) -> Result<Changes, Refused> {
        let sources = self.sources.clone();
        // Secrets may be on slow file systems, or come from commands.
        let loaded = tokio::task::spawn_blocking(move || config::load(&sources)).await;
        let settings = loaded.map_err(|_| Refused::Panic)?.map_err(Refused::Mistakes)?;
        let (warnings, log, watches) = (settings.warnings.clone(), settings.log.clone(), settings.watch);
        // What could be logged with the new settings is not logged by the old ones, and the other way round.
        let changes = app.reload(settings).map_err(Refused::Start)?;
        self.threshold.change(&log);
        self.watches = watches;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(changes)
    }
}

impl Refused {
    /// What is wrong, each on a line.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Mistakes(mistakes) | Self::Start(StartError::Inherited(mistakes)) => {
                mistakes.iter().map(ToString::to_string).collect()
            }
            Self::Start(error) => vec![log::chain(error)],
            Self::Panic => vec!["reading it ended in a panic".to_owned()],
        }
    }
}
