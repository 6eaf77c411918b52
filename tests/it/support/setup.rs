//! How a bearerd is to be started: its configuration in a directory of its own, its environment, its arguments.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::bearerd::Bearerd;
use super::canaries::Canaries;
use super::command::{Ended, finish};
use super::token_endpoint::TokenEndpoint;
use super::upstream::Upstream;

/// The binary under test, unless `BEARERD_TEST_BINARY` names another one.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_bearerd");

/// The secret that the usual setup has.
pub(crate) const CLIENT_SECRET: &str = "cs/canary+client secret-9f31";

/// How one bearerd is to be started.
#[derive(Clone)]
pub(crate) struct Setup {
    directory: Arc<TempDir>,
    canaries: Canaries,
    config: ConfigText,
    arguments: Option<Vec<String>>,
    environment: Vec<(String, String)>,
    routes: Vec<String>,
    binary: PathBuf,
    uid: Option<u32>,
}

/// The configuration file: the usual one with lines added to its tables, or one that the test wrote.
#[derive(Clone)]
enum ConfigText {
    Usual { top: String, upstream: String, route: String, credential: String, sections: String },
    Given(String),
}

impl Setup {
    /// One route and one credential with id and secret.
    pub(crate) fn between(upstream: &Upstream, endpoint: &TokenEndpoint) -> Self {
        let credential = format!(
            "token_endpoint = \"{}\"\nclient_id = \"svc\"\nclient_secret = \"{CLIENT_SECRET}\"\n",
            endpoint.url()
        );
        endpoint.canaries().add_basic("svc", CLIENT_SECRET);
        Self::new(endpoint.canaries()).credential_only(&upstream.url(), &credential)
    }

    /// No file at all yet, and no arguments.
    pub(crate) fn new(canaries: &Canaries) -> Self {
        Self {
            directory: Arc::new(tempfile::tempdir().expect("a directory")),
            canaries: canaries.clone(),
            config: ConfigText::Given(String::new()),
            arguments: None,
            environment: Vec::new(),
            routes: vec!["api".to_owned()],
            binary: std::env::var_os("BEARERD_TEST_BINARY").map_or_else(|| BINARY.into(), PathBuf::from),
            uid: None,
        }
    }

    /// The usual file with another credential.
    pub(crate) fn credential_only(mut self, upstream: &str, credential: &str) -> Self {
        self.config = ConfigText::Usual {
            top: String::new(),
            upstream: format!("upstream = \"{upstream}\"\n"),
            route: String::new(),
            credential: credential.to_owned(),
            sections: String::new(),
        };
        self
    }

    /// A whole file. It says where to listen; the routes named are those that will be waited for.
    pub(crate) fn file(mut self, text: &str, routes: &[&str]) -> Self {
        self.config = ConfigText::Given(text.to_owned());
        self.routes = routes.iter().map(|&route| route.to_owned()).collect();
        self
    }

    /// Lines before the first table.
    pub(crate) fn top(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { top, .. } = &mut self.config {
            let _ = writeln!(top, "{lines}");
        }
        self
    }

    /// Lines of `[routes.api]`.
    pub(crate) fn route(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { route, .. } = &mut self.config {
            let _ = writeln!(route, "{lines}");
        }
        self
    }

    /// Another `upstream` of `[routes.api]`.
    pub(crate) fn upstream(mut self, url: &str) -> Self {
        if let ConfigText::Usual { upstream, .. } = &mut self.config {
            *upstream = format!("upstream = \"{url}\"\n");
        }
        self
    }

    /// Lines of `[credentials.api]`.
    pub(crate) fn credential(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { credential, .. } = &mut self.config {
            let _ = writeln!(credential, "{lines}");
        }
        self
    }

    /// Whole tables, after all others.
    pub(crate) fn section(mut self, lines: &str) -> Self {
        if let ConfigText::Usual { sections, .. } = &mut self.config {
            let _ = writeln!(sections, "{lines}");
        }
        self
    }

    /// The routes that are waited for at the start.
    pub(crate) fn route_names(&self) -> &[String] {
        &self.routes
    }

    /// Waits for these routes at the start, not only for `api`.
    pub(crate) fn routes(mut self, routes: &[&str]) -> Self {
        self.routes = routes.iter().map(|&route| route.to_owned()).collect();
        self
    }

    /// No file: these arguments after `run`. The one route is then called `default`.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = Some(arguments.iter().map(|&argument| argument.to_owned()).collect());
        self.routes = vec!["default".to_owned()];
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts as another user, which only root can.
    pub(crate) fn uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// Starts a copy of the binary.
    pub(crate) fn binary(mut self, path: &Path) -> Self {
        self.binary = path.to_owned();
        self
    }

    pub(crate) fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// Where relative paths of the configuration begin.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a secret into a file beside the configuration and remembers that it is one.
    pub(crate) fn secret_file(&self, name: &str, secret: &str) -> PathBuf {
        self.canaries.add(secret.trim_end_matches('\n'));
        let path = self.directory.path().join(name);
        std::fs::write(&path, secret).expect("a secret file");
        path
    }

    /// The configuration as it will be written.
    pub(crate) fn text(&self) -> String {
        match &self.config {
            ConfigText::Given(text) => text.clone(),
            ConfigText::Usual { top, upstream, route, credential, sections } => format!(
                "{}{top}\n{}[log]\nformat = \"json\"\nlevel = \"{}\"\n\n\
                 [routes.api]\n{upstream}{route}\n[credentials.api]\n{credential}\n{sections}",
                unless_given(top, "listen", "listen = \"127.0.0.1:0\"\n"),
                unless_given(sections, "[admin]", "[admin]\nlisten = \"127.0.0.1:0\"\n\n"),
                level(),
            ),
        }
    }

    /// The command, ready to start, with the file written.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg(verb);
        match &self.arguments {
            Some(arguments) => {
                command.args(arguments);
            }
            None => {
                let path = self.directory.path().join("bearerd.toml");
                let text = self.text();
                // Another bearerd may be reading it.
                if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                    std::fs::write(&path, text).expect("a configuration file");
                }
                command.arg("--config").arg(path);
            }
        }
        // Nothing of the machine's own environment may decide a test, proxies above all.
        command.env_clear().env("PATH", "/usr/bin:/bin").envs(self.environment.iter().cloned());
        command.current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(uid) = self.uid {
            std::os::unix::process::CommandExt::uid(&mut command, uid);
        }
        command
    }

    /// Starts it and waits until every route and the admin listener are bound.
    #[track_caller]
    pub(crate) fn start(&self) -> Bearerd {
        let mut bearerd = self.spawn();
        bearerd.wait_until_it_listens();
        bearerd
    }

    /// Starts it and waits for a token too.
    #[track_caller]
    pub(crate) fn start_ready(&self) -> Bearerd {
        let bearerd = self.start();
        bearerd.wait_ready(10.0);
        bearerd
    }

    /// Starts it and waits for nothing.
    #[track_caller]
    pub(crate) fn spawn(&self) -> Bearerd {
        Bearerd::watch(self, self.command("run").spawn().expect("the binary starts"))
    }

    /// Runs a verb to its end.
    #[track_caller]
    pub(crate) fn run_verb(&self, verb: &str) -> Ended {
        finish(self.command(verb), &self.canaries)
    }
}

/// How much is logged: all tests hold at `trace` too, where most could come out.
fn level() -> String {
    std::env::var("BEARERD_TEST_LEVEL").unwrap_or_else(|_| "info".to_owned())
}

fn unless_given(text: &str, key: &str, usual: &'static str) -> &'static str {
    if text.lines().any(|line| line.starts_with(key)) { "" } else { usual }
}
