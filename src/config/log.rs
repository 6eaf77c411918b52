//! `[log]`.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use tracing::Level;

use super::document::Value;
use super::inject;
use super::reader::{Keys, Reader};
use crate::log::{Format, Settings, Share};

pub(super) const KEYS: Keys =
    Keys { name: "[log]", obeyed: &["format", "level", "access", "request_id"], later: &[], protective: &[] };

pub(super) const FORMATS: &[(&str, Format)] =
    &[("auto", Format::Auto), ("text", Format::Text), ("json", Format::Json), ("gcp", Format::Gcp)];

pub(super) const LEVELS: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

/// The project whose traces the lines of Google Cloud Logging belong to.
const PROJECT: &str = "GOOGLE_CLOUD_PROJECT";

pub(super) fn read(reader: &Reader<'_>) -> Settings {
    let format = reader.choice("format", FORMATS, &[]).unwrap_or(Format::Auto);
    Settings {
        format,
        level: reader.choice("level", LEVELS, &[]).unwrap_or(Level::INFO),
        access: access(reader),
        request_id: reader.parsed("request_id", request_id),
        project: (format == Format::Gcp).then(|| project(reader)).flatten(),
    }
}

/// `access`: all, none, or a share.
fn access(reader: &Reader<'_>) -> Share {
    let Some(node) = reader.node("access") else { return Share::NONE };
    let share = match &node.value {
        Value::Float(share) => *share,
        Value::Integer(0) => 0.0,
        Value::Integer(1) => 1.0,
        Value::Integer(_) => f64::NAN,
        _ => return if reader.boolean("access") == Some(true) { Share::ALL } else { Share::NONE },
    };
    if !(0.0..=1.0).contains(&share) {
        reader
            .wrong("access", "must be true, false, or a share from 0 to 1, such as 0.01 for one request in a hundred");
    }
    Share::of(share)
}

/// A field that is nobody's but the application's.
fn request_id(text: &str) -> Result<HeaderName, String> {
    let name = inject::injectable(text)?;
    if [AUTHORIZATION, COOKIE].contains(&name) || name == crate::dpop::FIELD {
        return Err(format!("cannot be {name}, which may carry a secret"));
    }
    Ok(name)
}

fn project(reader: &Reader<'_>) -> Option<String> {
    let name = reader.context().environment.value(PROJECT)??.expose().trim().to_owned();
    // Elsewhere in a line it would be another thing than a project's id.
    Some(name).filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b)))
}
