//! The configuration that the demo runs, as a file that a person would write.
//!
//! bearerd loads this very text through its ordinary front door; `--write-config` saves it with the id of the client that people may be,
//! so that what they run with it is not taken for the demo's own.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use super::authorization_server::{Rules, TOKEN_PATH};
use crate::platform;

/// The name of the only route and the only credential.
pub(super) const NAME: &str = "api";

/// The text, for a client of this id. `ports` are bearerd's own and its status page's; 0 is any free one.
pub(super) fn text(
    rules: &Rules,
    client_id: &str,
    authorization_server: SocketAddr,
    api: SocketAddr,
    ports: (u16, u16),
) -> String {
    let (port, admin_port) = ports;
    let Rules { client_secret, .. } = rules;
    format!(
        r#"# The configuration that `bearerd demo` ran, ready to edit.
# The two servers it names exist only while that demo runs: put your own in their place, then
#   bearerd check --fetch FILE      every mistake at once, and one token to see whether it works
#   bearerd run FILE

# Where your application sends its requests. Port 0 is any free port; "localhost:8080" is more usual.
listen = "127.0.0.1:{port}"

[admin]
listen = "127.0.0.1:{admin_port}"        # health, metrics and the status page; usually "localhost:9180"

# Requests go here, with a token. Further routes: [routes.another], each with a path or a port of its own.
[routes.{NAME}]
upstream = "http://{api}"

# Tokens come from here.
[credentials.{NAME}]
token_endpoint = "http://{authorization_server}{TOKEN_PATH}"
client_id      = "{client_id}"
# A plain string is good enough for a demo. A real secret belongs outside this file; one of these instead:
#   client_secret = {{ file = "/run/secrets/client_secret" }}    read again at each token request: rotate it any time
#   client_secret = {{ env = "CLIENT_SECRET" }}
#   client_secret = {{ systemd = "client_secret" }}
client_secret  = "{client_secret}"
# What your authorization server may want besides:
#   scope    = "items:read"
#   audience = "https://api.example.com"

[credentials.{NAME}.refresh]
early = "50%"                   # tokens of the demo live only {lifetime} s; the default is right for longer ones
"#,
        lifetime = rules.lifetime.as_secs(),
    )
}

/// Writes the text to a new file that only its owner can read: it holds a secret.
///
/// # Errors
/// If the file exists already, or cannot be written.
pub(super) fn write(text: &str, path: &Path) -> io::Result<()> {
    let mut file = platform::private(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bearerd.toml");
        write("first", &path).unwrap();
        assert_eq!(write("second", &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
