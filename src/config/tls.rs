//! `[tls]`, towards the callers; `[credentials.*.tls]` and `[routes.*.tls]`, towards a server.

use std::path::PathBuf;
use std::time::SystemTime;

use super::document::Value;
use super::reader::{Keys, Reader};
use super::value;
use crate::reason::Reason;
use crate::tls::{ClientSettings, Identity, Live, Recipe, Role, ServerSettings};

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.tls], [routes.NAME.tls] and [store.tls]",
    obeyed: &["ca", "certificate", "key", "server_name"],
    later: &[],
    protective: &[],
};

pub(super) const SERVER_KEYS: Keys = Keys {
    name: "[tls]",
    obeyed: &["certificate", "key", "client_ca"],
    later: &[],
    // Whatever a newer version knows here, it keeps somebody out.
    protective: &["*"],
};

/// TLS towards a server.
pub(super) fn read(reader: &Reader<'_>) -> ClientSettings {
    let settings = ClientSettings {
        ca: path(reader, "ca"),
        identity: identity(reader),
        server_name: reader.parsed("server_name", value::server_name),
    };
    if settings.ca.is_some() || settings.identity.is_some() {
        check(reader, &settings, &["ca", "certificate", "key"]);
    }
    settings
}

/// TLS towards the callers; `None` if the table was not written.
pub(super) fn server(reader: &Reader<'_>) -> Option<ServerSettings> {
    let client_ca = path(reader, "client_ca");
    if reader.is_written() && !reader.has("certificate") && !reader.has("key") {
        reader.missing("certificate", "is required: callers must be shown one", "server.pem");
    }
    let settings = ServerSettings { identity: identity(reader)?, client_ca };
    check(reader, &settings, &["certificate", "key", "client_ca"]);
    Some(settings)
}

/// Whether `[tls]` asks callers for certificates, rightly written or not.
pub(super) fn asks_for_certificates(root: &Reader<'_>) -> bool {
    match root.node("tls").map(|node| &node.value) {
        Some(Value::Table(table)) => table.entry("client_ca").is_some(),
        _ => false,
    }
}

/// `certificate` and `key`, which need each other.
fn identity(reader: &Reader<'_>) -> Option<Identity> {
    let (certificate, key) = (path(reader, "certificate"), path(reader, "key"));
    match (reader.has("certificate"), reader.has("key")) {
        (true, false) => reader.missing("key", "is required beside certificate", "key.pem"),
        (false, true) => reader.missing("certificate", "is required beside key", "certificate.pem"),
        _ => {}
    }
    Some(Identity { certificate: certificate?, key: key? })
}

fn path(reader: &Reader<'_>, key: &str) -> Option<PathBuf> {
    let written = reader.non_empty(key)?;
    Some(reader.context().resolve(&written, &reader.node(key)?.place))
}

/// Tries the files, which stand at these keys: what cannot be used is a mistake, what ends soon a warning.
fn check<S: Recipe + Clone>(reader: &Reader<'_>, settings: &S, files: &[&str]) {
    match Live::load(settings.clone()) {
        Ok(live) => {
            for (role, warning) in live.warnings(SystemTime::now()) {
                reader.warn(role.key(), Reason::ConfigFile, warning);
            }
        }
        Err(error) => {
            let key = error.role().map_or("certificate", Role::key);
            reader.reject(key, Reason::ConfigFile, crate::log::chain(&error));
            files.iter().filter(|other| **other != key).for_each(|other| check_readable(reader, other));
        }
    }
}

/// For a file that was not come to, since another one could not be used.
fn check_readable(reader: &Reader<'_>, key: &str) {
    let Some(path) = reader.has(key).then(|| path(reader, key)).flatten() else { return };
    if let Err(error) = std::fs::File::open(&path) {
        reader.reject(key, Reason::ConfigFile, format!("cannot read the file {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mistakes, Settings, load_str};
    use crate::tls::CallerName;
    use crate::tls::testing::{Authority, Directory};

    struct Files(Directory, Authority);

    impl Files {
        fn new() -> Self {
            let files = Self(Directory::new(), Authority::new("us"));
            files.0.write("ca.pem", &files.1.pem());
            let _ = files.0.identity(&files.1, "localhost");
            files
        }

        /// A configuration that begins with these lines; `route` are lines of its route.
        fn load(&self, top: &str, route: &str) -> Result<Settings, Mistakes> {
            let text = format!(
                "{top}\n[routes.api]\nupstream = \"https://api.example.com\"\n{route}\n[credentials.api]\n\
                 token_endpoint = \"https://login.example.com/t\"\n"
            );
            load_str(&text, &self.0.path().join("bearerd.toml"))
        }

        #[track_caller]
        fn check(&self, top: &str, route: &str, wanted: &[&str]) {
            let mistakes = self.load(top, route).unwrap_err();
            assert_eq!(mistakes.count(), 1, "{mistakes}");
            for words in wanted {
                assert!(mistakes.to_string().contains(words), "{words:?} is not in {mistakes}");
            }
        }
    }

    const OWN: &str = "tls.certificate = \"cert.pem\"\ntls.key = \"key.pem\"\n";

    #[test]
    fn certificates_are_read_for_both_sides() {
        let files = Files::new();
        let settings = files.load(&format!("{OWN}tls.client_ca = \"ca.pem\""), OWN).unwrap();
        let server = settings.tls.unwrap();
        assert_eq!(server.identity.key, files.0.path().join("key.pem"));
        assert_eq!(server.client_ca, Some(files.0.path().join("ca.pem")));
        assert_eq!(settings.routes[0].tls.identity, Some(server.identity));
        assert_eq!(settings.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_certificate_and_its_key_need_each_other() {
        let files = Files::new();
        files.check("tls.certificate = \"cert.pem\"", "", &["F006 tls.key", "beside certificate"]);
        files.check("tls.key = \"key.pem\"", "", &["F006 tls.certificate", "beside key"]);
        files.check("tls.client_ca = \"ca.pem\"", "", &["F006 tls.certificate", "is required"]);
        files.check("", "tls.certificate = \"cert.pem\"", &["F006 routes.api.tls.key"]);
        let (_, other) = files.1.issue("localhost", |_| {});
        files.0.write("key.pem", &other);
        files.check(OWN, "", &["F011 tls.key", "key.pem", "not that of the certificate"]);
        files.check("", OWN, &["F011 routes.api.tls.key"]);
        files.0.write("cert.pem", "");
        files.check(OWN, "", &["F011 tls.certificate", "cert.pem", "no certificate"]);
        files.check(&format!("{OWN}tls.client_ca = \"none.pem\""), "", &["F011 tls.client_ca", "none.pem"]);
    }

    #[test]
    fn a_certificate_that_has_ended_is_a_warning() {
        let files = Files::new();
        let (certificate, key) =
            files.1.issue("localhost", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        files.0.write("cert.pem", &certificate);
        files.0.write("key.pem", &key);
        let warnings = files.load(OWN, "").unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("F011 tls.certificate"), "{warnings:?}");
        assert!(warnings[0].contains("has expired on 2020-01-01"), "{warnings:?}");
    }

    #[test]
    fn certificates_of_callers_are_a_rule_who_may_call() {
        let files = Files::new();
        let mutual = format!("{OWN}tls.client_ca = \"ca.pem\"\n");
        let names = "callers.client_names = [\"App.example.net\", \"spiffe://x/y\"]\n";
        let settings = files.load(&format!("{mutual}{names}listen = \"0.0.0.0:80\""), "").unwrap();
        let wanted = ["app.example.net", "spiffe://x/y"].map(|name| CallerName::parse(name).unwrap());
        assert_eq!(settings.callers.client_names.as_deref(), Some(&wanted[..]));
        files.check(&format!("{OWN}listen = \"0.0.0.0:80\""), "", &["F009 listen"]);
        files.check(&format!("{mutual}admin.listen = \"0.0.0.0:80\""), "", &["F009 admin.listen"]);
        files.check(&format!("{OWN}{names}"), "", &["F007 callers.client_names", "client_ca"]);
        files.check(&format!("{mutual}callers.client_names = []"), "", &["F005 callers.client_names", "nobody"]);
        files.check(&format!("{mutual}callers.client_names = \"*.x\""), "", &["F005", "patterns"]);
    }
}
