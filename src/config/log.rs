//! `[log]`.

use tracing::Level;

use super::reader::{Keys, Reader};
use super::{LogFormat, LogSettings};

pub(super) const KEYS: Keys =
    Keys { name: "[log]", obeyed: &["format", "level", "access"], later: &[], protective: &[] };

const FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

pub(super) fn read(reader: &Reader<'_>) -> LogSettings {
    LogSettings {
        format: reader.choice("format", FORMATS, &["gcp"]).unwrap_or(LogFormat::Auto),
        level: reader.choice("level", LEVELS, &[]).unwrap_or(Level::INFO),
        access: reader.boolean("access").unwrap_or(false),
    }
}
