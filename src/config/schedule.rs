//! `[credentials.*.refresh]`: when a token is renewed, and how long a request waits for one. What describes the refresh request in
//! it is read by `refresh`.

use std::time::Duration;

use super::reader::{Keys, Reader};
use super::value;
use crate::token::settings::Early;

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.refresh]",
    obeyed: &[
        "early",
        "wait",
        "endpoint",
        "allow_plain_http",
        "method",
        "encoding",
        "grant_type",
        "token_field",
        "params",
        "headers",
    ],
    later: &[],
    protective: &[],
};

const WAIT: Duration = Duration::from_secs(10);

/// `early` and `wait`.
pub(super) fn read(reader: &Reader<'_>) -> (Early, Duration) {
    let early = reader.parsed("early", early).unwrap_or(Early::Default);
    (early, reader.duration("wait").unwrap_or(WAIT))
}

fn early(text: &str) -> Result<Early, String> {
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.trim_end().parse::<f64>() {
            Ok(percent) if percent > 0.0 && percent <= 50.0 => Ok(Early::Share(percent / 100.0)),
            _ => Err("must be a share of more than 0 % and at most 50 %, such as \"20%\"".to_owned()),
        };
    }
    match value::duration(text) {
        Ok(Duration::ZERO) => Err("must be more than zero".to_owned()),
        Ok(duration) => Ok(Early::Fixed(duration)),
        Err(_) => {
            Err(format!("must be a share of the lifetime (\"20%\") or a time (\"5m\"), not {}", value::quoted(text)))
        }
    }
}
