//! Values that several tables take: times, sizes, addresses, URLs, names.
//!
//! Every function here is pure and its error says what would be right.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use http::Uri;
use rustls::pki_types::ServerName;

use super::ListenAddress;
use crate::upstream::Origin;

/// Adding more than this to a point in time could overflow it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// `"10s"`, `"1h30m"`, `"500ms"`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text.parse::<f64>().is_ok() && text != "0" {
        return Err(format!("needs a unit, such as \"{text}s\""));
    }
    // Months, of all things, which nobody means here.
    if let Some(number) = text.strip_suffix('M').filter(|number| number.parse::<f64>().is_ok()) {
        return Err(format!("would be months: did you mean \"{number}m\"?"));
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration > LONGEST => Err("must be at most ten years".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => {
            Err(format!("must be a time with a unit, such as \"10s\", \"1h30m\" or \"500ms\", not {}", quoted(text)))
        }
    }
}

/// `"64KiB"`, `"1MB"`; a number of bytes that fits the machine.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("must be a size with a unit, such as \"64KiB\" or \"1MiB\", not {}", quoted(text));
    if !text.is_ascii() || text.parse::<u64>().is_ok_and(|bytes| bytes > 0) {
        return Err(wrong());
    }
    let size: ByteSize = text.parse().map_err(|_| wrong())?;
    usize::try_from(size.as_u64()).ok().filter(|size| *size <= isize::MAX as usize).ok_or_else(wrong)
}

/// A protocol that a connection may be changed to: a name, or a name with a version.
pub(super) fn upgrade(text: &str) -> Result<String, String> {
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let (name, version) = text.split_once('/').unwrap_or((text, "0"));
    if !is_token(name) || !is_token(version) {
        return Err(format!("must be the name of a protocol, such as \"websocket\", not {}", quoted(text)));
    }
    if ["h2c", "h2", "http", "tls"].iter().any(|hop| name.eq_ignore_ascii_case(hop)) {
        return Err(format!("cannot hold {}: requests inside it would go past every check", quoted(text)));
    }
    Ok(text.to_ascii_lowercase())
}

/// `"localhost:8080"`, `"127.0.0.1:8080"`, `"[::1]:8080"`.
pub(super) fn listen_address(text: &str) -> Result<ListenAddress, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(ListenAddress::Address(address));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(match text.parse::<u16>() {
            Ok(port) => format!("needs a host: \"localhost:{port}\""),
            Err(_) => format!("needs a port, such as \"{}\"", with_port(text)),
        });
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(match text.parse::<IpAddr>() {
            Ok(address) => format!("needs a port, such as \"[{address}]:8080\""),
            Err(_) => "must end in a port from 0 to 65535".to_owned(),
        });
    };
    match host {
        host if host.eq_ignore_ascii_case("localhost") => Ok(ListenAddress::Localhost(port)),
        "" | "*" => Err(format!("needs an address: \"localhost:{port}\", or \"0.0.0.0:{port}\" for every interface")),
        host if host.parse::<IpAddr>().is_ok() => Err(format!("must be written with brackets: \"[{host}]:{port}\"")),
        _ => Err(format!("must be \"localhost:{port}\" or an IP address with a port; names are not looked up")),
    }
}

/// What `fd:` names: a name as `FileDescriptorName=` of a socket unit takes it (systemd.socket(5)).
pub(super) fn descriptor_name(text: &str) -> Result<ListenAddress, String> {
    let is_legal = |c: u8| (b' '..=b'~').contains(&c) && c != b':';
    if text.is_empty() || text.len() > 255 || !text.bytes().all(is_legal) {
        let what = "must name a socket of the service manager: \"fd:NAME\", where NAME is what FileDescriptorName= of the \
            socket unit says, or else the unit's own name, as in \"fd:bearerd.socket\"";
        return Err(what.to_owned());
    }
    Ok(ListenAddress::Inherited(text.into()))
}

fn with_port(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, 8080).to_string(),
        Err(_) => "localhost:8080".to_owned(),
    }
}

/// A URL that a connection can be made to, and its origin. Whoever calls this decides on path, query and plain http.
pub fn url(text: &str) -> Result<(Uri, Origin), String> {
    if text.contains('#') {
        return Err("must not have a fragment (#…)".to_owned());
    }
    if !text.contains("://") {
        return Err("must be a URL that begins with https:// (or http://)".to_owned());
    }
    let uri: Uri = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    let origin = Origin::of(&uri).map_err(|error| error.to_string())?;
    let authority = origin.authority();
    // `http` accepts any digits as a port and none at all; a wrong port must not become the default one.
    let port = authority.as_str().rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()) {
        return Err("must have a port from 1 to 65535, or none".to_owned());
    }
    server_name(origin.host()).map_err(|_| format!("names the host {:?}, which is no DNS name", origin.host()))?;
    Ok((uri, origin))
}

/// A name or address that a certificate could carry.
pub(super) fn server_name(text: &str) -> Result<String, String> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be a DNS name or an IP address".to_owned()),
    }
}

/// A host as it stands in `Host`, without port: lower case, without brackets and final dot.
pub(super) fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if host.contains('*') {
        return Err("must be one host: patterns are not supported".to_owned());
    }
    if host.contains("://") {
        return Err("must be a host alone, without http:// and path".to_owned());
    }
    if let Some((name, _)) = host.split_once(':') {
        return Err(format!("must be a host without its port: {name:?}"));
    }
    if !host.is_ascii() {
        return Err("must be written in ASCII (xn--…)".to_owned());
    }
    let is_legal = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_legal) || host.split('.').any(str::is_empty) {
        return Err("must be a host name, such as \"billing.localhost\"".to_owned());
    }
    Ok(host)
}

/// The path of a route: a prefix that every reading of a request's path agrees on. `/billing/` means `/billing`.
pub(super) fn route_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("must begin with a slash: \"/{text}\""));
    }
    if let Some(at) = text.find(['*', '{', '}', '^']) {
        let before = text.get(..at).and_then(|before| before.rsplit_once('/')).map_or("", |(before, _)| before);
        let prefix = if before.is_empty() { "/" } else { before };
        return Err(format!("is a prefix, and patterns are not supported: {} matches all below it", quoted(prefix)));
    }
    plain_path(text)?;
    Ok(if text == "/" { text } else { text.strip_suffix('/').unwrap_or(text) }.to_owned())
}

/// Refuses whatever in a path could be read in two ways.
pub(super) fn plain_path(text: &str) -> Result<(), String> {
    if text.contains(['?', '#']) {
        return Err("must be a path alone, without ? and #".to_owned());
    }
    if text.contains("//") {
        return Err("must not contain //".to_owned());
    }
    if text.contains('%') {
        return Err("must not contain percent-encoded characters".to_owned());
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("must not contain the segments . and ..".to_owned());
    }
    if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '\\' | ';' | '"' | '<' | '>')) {
        return Err(format!("must not contain {c:?}"));
    }
    Ok(())
}

/// A name that becomes a metric label and stands in log lines.
pub fn name(text: &str) -> Result<(), String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > 64 || !text.chars().all(is_legal) {
        return Err("must be a name of at most 64 letters, digits, _ and -".to_owned());
    }
    Ok(())
}

/// A JSON Pointer (RFC 6901 §3): `""`, or `/` and member names in which `~` is written `~0` and `/` is `~1`.
pub(super) fn json_pointer(text: &str) -> Result<String, String> {
    if !text.is_empty() && !text.starts_with('/') {
        let path = text.trim_start_matches("$.").replace('.', "/");
        return Err(format!("must be a JSON Pointer, which begins with a slash: \"/{path}\""));
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('~') {
        if !after.starts_with(['0', '1']) {
            return Err("must write ~ as ~0 (RFC 6901)".to_owned());
        }
        rest = after;
    }
    Ok(text.to_owned())
}

/// What was written, for messages about keys that are never secret: escaped, and not at length.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Whether a text is an HTTP token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_legal = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    !text.is_empty() && text.bytes().all(is_legal)
}
