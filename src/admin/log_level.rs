//! `/log-level`: what the log hears, and another level for a while.
//!
//! Owns the parameters and the way back. What a level means is not known here.

use std::str::FromStr as _;
use std::time::Duration;

use serde::Serialize;
use tracing::Level;

use crate::log::Threshold;

/// Nobody wants the debug log of a day and forgets about it.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What `GET /log-level` shows.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    level: String,
    /// What the configuration says.
    configured: String,
    /// Until it is that again; absent if it is, or if nobody said how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
}

impl Shown {
    pub(super) fn of(threshold: &Threshold) -> Self {
        let heard = threshold.heard();
        let word = |level: Level| level.as_str().to_ascii_lowercase();
        let seconds_left = heard.remaining.map(|left| left.as_secs());
        Self { level: word(heard.level), configured: word(heard.configured), seconds_left }
    }
}

/// `?level=debug&for=10m`, or `?level=default` for the configured one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// `None`: the configured one.
    level: Option<Level>,
    time: Option<Duration>,
}

impl Wish {
    /// # Errors
    /// What would be right.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, String> {
        const USAGE: &str =
            "?level=debug&for=10m; the levels are error, warn, info, debug, trace, and default for the configured one";
        let (mut level, mut time) = (None, None);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "level" if value == "default" => level = Some(None),
                "level" if value.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                    let parsed = Level::from_str(&value).map_err(|_| format!("there is no such level: {USAGE}\n"))?;
                    level = Some(Some(parsed));
                }
                "for" => {
                    let parsed =
                        humantime::parse_duration(&value).ok().filter(|time| *time <= LONGEST && !time.is_zero());
                    time = Some(parsed.ok_or("for must be a time of at most 24h, such as 10m\n")?);
                }
                _ => return Err(format!("this path takes {USAGE}\n")),
            }
        }
        match level {
            None => Err(format!("level is missing: {USAGE}\n")),
            Some(None) if time.is_some() => Err("for means nothing with level=default\n".to_owned()),
            Some(level) => Ok(Self { level, time }),
        }
    }

    /// Takes it over. To be called in a `LocalRuntime`, which brings the level back in time.
    pub(super) fn fulfil(self, threshold: &Threshold) {
        let Some(level) = self.level else {
            threshold.restore();
            return tracing::warn!("log level set by hand: as configured");
        };
        let turn = threshold.lend(level, self.time);
        let time = self.time.map(humantime::format_duration).map(tracing::field::display);
        tracing::warn!(level = %level.as_str().to_ascii_lowercase(), "for" = time, "log level set by hand");
        if let Some(time) = self.time {
            let threshold = threshold.clone();
            tokio::task::spawn_local(async move {
                tokio::time::sleep(time).await;
                if threshold.end(turn) {
                    tracing::warn!("log level as configured again");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_a_level_and_a_time() {
        let check = |query: &str, wanted: Option<(Option<Level>, Option<u64>)>| {
            let wanted = wanted.map(|(level, time)| Wish { level, time: time.map(Duration::from_secs) });
            assert_eq!(Wish::parse(Some(query)).ok(), wanted, "{query}");
        };
        check("level=debug", Some((Some(Level::DEBUG), None)));
        check("level=DEBUG&for=10m", Some((Some(Level::DEBUG), Some(600))));
        check("for=90s&level=error", Some((Some(Level::ERROR), Some(90))));
        check("level=default", Some((None, None)));
        for wrong in ["", "level=", "level=verbose", "level=5", "for=1m", "level=debug&for=10", "level=debug&for=25h"] {
            check(wrong, None);
        }
        for wrong in ["level=debug&for=0s", "level=default&for=1m", "level=debug&until=now", "debug"] {
            check(wrong, None);
        }
        assert!(Wish::parse(None).is_err());
    }
}
