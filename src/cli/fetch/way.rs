//! The way to a server, step by step: its name, a connection, TLS. Sends nothing secret but a proxy's login.

use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::time::Instant;

use super::screen::{Mark, printable, say};
use crate::oauth::FetchError;
use crate::tls;
use crate::upstream::{ConnectFailure, Origin, Stream, Ways};

/// A certificate with less than this left is worth a mark.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// How many addresses or names are shown.
const MOST: usize = 4;

/// Walks it; a failure has been shown.
pub(super) async fn walk(ways: &Ways, uri: &Uri) -> Result<(), FetchError> {
    // Both have been checked when the token endpoint was made, for all but what an issuer names.
    let Ok(origin) = Origin::of(uri) else { return Ok(()) };
    let Ok(connector) = ways.to(&origin) else { return Ok(()) };
    let through = ways.proxy().map(|proxy| format!(", through the proxy {}", proxy.origin())).unwrap_or_default();
    match connector.look_up().await {
        Ok((host, addresses)) if !addresses.iter().any(|address| is_same(&host, address.ip())) => {
            let all: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            let whose = if ways.proxy().is_some() { "proxy " } else { "" };
            say(Mark::Done, "name", &format!("{whose}{host} is {}", some_of(&all)));
        }
        Ok(_) => {}
        Err(error) => {
            let error = FetchError::unreached(&error);
            say(Mark::Failed, "name", &failure(&error));
            return Err(error);
        }
    }
    let started = Instant::now();
    let place = format!("{}:{}", origin.host(), origin.port());
    match connector.connect().await {
        Ok(stream) => {
            let took = milliseconds(started.elapsed());
            let with = if matches!(stream, Stream::Tls(_)) { ", TLS included" } else { "" };
            say(Mark::Done, "connect", &format!("{place} in {took}{with}{through}"));
            show_tls(&stream);
            Ok(())
        }
        Err(error) => {
            let hangs_in_tls =
                error.failure == ConnectFailure::Timeout && error.source.to_string().contains("TLS handshake");
            if error.failure == ConnectFailure::Tls || hangs_in_tls {
                say(Mark::Done, "connect", &format!("{place}{through}"));
            }
            let label = match error.failure {
                ConnectFailure::Name => "name",
                ConnectFailure::Tls => "TLS",
                ConnectFailure::Timeout if hangs_in_tls => "TLS",
                ConnectFailure::Proxy | ConnectFailure::ProxyRefused(_) => "proxy",
                ConnectFailure::Connect | ConnectFailure::Timeout => "connect",
            };
            let error = FetchError::unreached(&error);
            say(Mark::Failed, label, &failure(&error));
            Err(error)
        }
    }
}

/// Whether the name is the address itself, and there was nothing to look up.
fn is_same(host: &str, address: std::net::IpAddr) -> bool {
    host.parse() == Ok(address)
}

pub(super) fn failure(error: &FetchError) -> String {
    format!("{} {}", error.reason, error.message)
}

pub(super) fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn some_of(all: &[String]) -> String {
    let shown: Vec<_> = all.iter().take(MOST).map(String::as_str).collect();
    let more = all.len().saturating_sub(shown.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

fn show_tls(stream: &Stream) {
    let Stream::Tls(stream) = stream else {
        say(Mark::Plain, "TLS", "none: plain http");
        return;
    };
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        _ => "",
    };
    let own = session.peer_certificates().and_then(<[_]>::first).and_then(|der| tls::summary(der));
    let Some(certificate) = own else {
        say(Mark::Done, "TLS", version);
        return;
    };
    let left = certificate.ends.duration_since(SystemTime::now()).unwrap_or_default();
    let names: Vec<_> = certificate.names.iter().map(|name| printable(name)).collect();
    let text = format!(
        "{version}, certificate for {} by {}, {} days left",
        some_of(&names),
        printable(&certificate.issuer),
        left.as_secs() / (24 * 3600)
    );
    say(if left < SOON { Mark::Odd } else { Mark::Done }, "TLS", &text);
}
