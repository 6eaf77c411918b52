//! `[log]`.

use tracing::Level;

use super::reader::{Keys, Reader};
use crate::log::{Format, Settings};

pub(super) const KEYS: Keys =
    Keys { name: "[log]", obeyed: &["format", "level", "access"], later: &[], protective: &[] };

const FORMATS: &[(&str, Format)] = &[("auto", Format::Auto), ("text", Format::Text), ("json", Format::Json)];

const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

pub(super) fn read(reader: &Reader<'_>) -> Settings {
    Settings {
        format: reader.choice("format", FORMATS, &["gcp"]).unwrap_or(Format::Auto),
        level: reader.choice("level", LEVELS, &[]).unwrap_or(Level::INFO),
        access: reader.boolean("access").unwrap_or(false),
    }
}
