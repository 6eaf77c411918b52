//! `bearerd demo`: an authorization server, an API that wants tokens, and bearerd itself, in one process.
//!
//! Owns the stage: what is started in which order, what a person is told, and when it ends. bearerd is the real one, started
//! from a configuration text through its ordinary front door; nothing in it knows that it is on a stage. Listens
//! on loopback only.

mod api;
mod authorization_server;
mod client;
mod configuration;
mod print;
mod serve;
mod story;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tracing::Level;

use crate::app::{App, StartError};
use crate::clock::Clock;
use crate::config;
use crate::log;
use crate::platform::Ends;
use crate::process;
use crate::server::Inherited;
use api::Api;
use authorization_server::{AuthorizationServer, Rules};
use configuration::NAME;
use print::{Printer, time};
use serve::Servers;
use story::Stage;

/// A life of ten seconds is renewed after five or six: soon enough to watch, and long enough to ride out an outage.
const LIFETIME: Duration = Duration::from_secs(10);

/// Long enough to see that nobody waits for a token request, short enough for nobody to wait for the story.
const DELAY: Duration = Duration::from_millis(500);

/// Requests in flight when the tokens are revoked, descriptors permitting.
const IN_FLIGHT: usize = 200;

/// Descriptors that the process uses besides those of the requests in flight.
const SPARE_DESCRIPTORS: usize = 160;

/// A request in flight has two connections, and both ends of each are in this process.
const DESCRIPTORS_PER_REQUEST: usize = 4;

/// How often the line about the current token is renewed, on a terminal.
const TICK: Duration = Duration::from_millis(500);

/// What the person asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// End after the story.
    pub exit: bool,
    /// Save the configuration here.
    pub write_config: Option<PathBuf>,
    /// The first of four ports; any free ones if `None`.
    pub first_port: Option<u16>,
    /// Whether standard output is a terminal.
    pub terminal: bool,
    /// Whether colour is welcome there.
    pub colour: bool,
}

/// How the demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every part of the story went well.
    Good,
    /// Some part did not.
    PartsFailed,
    /// The person ended it before the story did.
    Interrupted,
}

/// The demo could not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its own servers could not be started.
    #[error("the demo's servers cannot start{}", ports(.0))]
    Servers(#[source] io::Error),
    /// The configuration could not be saved.
    #[error("cannot write {path}{}", match .source.kind() {
        io::ErrorKind::AlreadyExists => ": nothing is overwritten; name another file, or remove it first",
        _ => "",
    })]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The story could not be told.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// bearerd refused the demo's configuration.
    #[error("the demo's configuration has a mistake\n{0}")]
    Configuration(config::Mistakes),
    /// bearerd could not be started.
    #[error("bearerd cannot start{}", match .0 {
        StartError::Bind { source, .. } => ports(source),
        _ => "",
    })]
    Start(#[from] StartError),
    /// bearerd runs, but not as the configuration says.
    #[error("bearerd has started without its {0}")]
    Incomplete(&'static str),
}

/// What to do about a port that is taken.
fn ports(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (--port PORT takes PORT to PORT+3: another demo may run; write another number, or leave it out for any free ports)"
        }
        _ => "",
    }
}

/// Starts everything, tells the story, and stays until the person ends it (or not, with `exit`).
///
/// # Errors
/// [`DemoError`] if there could be no story.
pub async fn run(options: Options) -> Result<Ending, DemoError> {
    let mut out = Printer::stdout(options.colour);
    let mut interrupts = Ends::listen().map_err(DemoError::Servers)?;
    let Running { app, servers, stage, addresses } = start(&options).await?;
    addresses.introduce(&mut out, &options);
    let ending = tokio::select! {
        failed = story::tell(&stage, &mut out) => if failed.is_empty() { Ending::Good } else { Ending::PartsFailed },
        _ = interrupts.next() => Ending::Interrupted,
    };
    if !options.exit && ending != Ending::Interrupted {
        addresses.invite(&mut out);
        tokio::select! {
            _ = interrupts.next() => {}
            () = show_token(&stage, &mut out, options.terminal) => {}
        }
        out.plain("");
    }
    tokio::select! {
        _ = app.drain() => {}
        _ = interrupts.next() => {}
    }
    drop(servers);
    out.lost().map_or(Ok(ending), |error| Err(DemoError::Output(error)))
}

/// Starts the two servers, then bearerd with the configuration that leads to them.
async fn start(options: &Options) -> Result<Running, DemoError> {
    // Said before anything else; whether it can be written shows when it is.
    if let Some(path) = options.write_config.as_ref().filter(|path| path.exists()) {
        return Err(DemoError::Write { path: path.clone(), source: io::ErrorKind::AlreadyExists.into() });
    }
    let rules = Rules {
        client_id: "demo".to_owned(),
        own_client_id: "demo-story".to_owned(),
        client_secret: random_secret(),
        lifetime: LIFETIME,
        delay: DELAY,
    };
    let ports = Ports::from(options.first_port);
    let authorization_server = AuthorizationServer::new(rules.clone());
    let api = Api::new(authorization_server.clone());
    let servers = Servers::start((authorization_server.clone(), ports.authorization_server), (api.clone(), ports.api))
        .map_err(DemoError::Servers)?;
    let text = |client_id: &str| {
        configuration::text(&rules, client_id, servers.authorization_server, servers.api, (ports.bearerd, ports.admin))
    };
    let (text, saved) = (text(&rules.own_client_id), text(&rules.client_id));
    let settings = config::load_str(&text, Path::new("demo.toml")).map_err(DemoError::Configuration)?;
    // The demo tells its own story; the configuration, saved and run by itself, logs as usual.
    log::init(&log::Settings { format: log::Format::Text, level: Level::WARN, ..settings.log.clone() });
    let in_flight = requests_in_flight();
    let app = App::start(settings, Inherited::default(), Clock::boot()).await?;
    let addresses = Addresses::of(&app, &servers)?;
    // Last, so that a demo that could not start leaves no file.
    if let Some(path) = &options.write_config {
        configuration::write(&saved, path).map_err(|source| DemoError::Write { path: path.clone(), source })?;
    }
    let stage = Stage {
        bearerd: addresses.bearerd,
        api_address: servers.api,
        api,
        authorization_server,
        token: app.reader(NAME).ok_or(DemoError::Incomplete("token"))?,
        lifetime: LIFETIME,
        delay: DELAY,
        in_flight,
    };
    Ok(Running { app, servers, stage, addresses })
}

/// Everything that has to end.
struct Running {
    app: App,
    servers: Servers,
    stage: Stage,
    addresses: Addresses,
}

/// The ports to listen on; 0 is any free one.
#[derive(Clone, Copy, Debug, Default)]
struct Ports {
    bearerd: u16,
    admin: u16,
    api: u16,
    authorization_server: u16,
}

/// Where everything is.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    bearerd: SocketAddr,
    admin: SocketAddr,
    api: SocketAddr,
    authorization_server: SocketAddr,
}

impl From<Option<u16>> for Ports {
    fn from(first: Option<u16>) -> Self {
        first.map_or_else(Self::default, |first| Self {
            bearerd: first,
            admin: first.saturating_add(1),
            api: first.saturating_add(2),
            authorization_server: first.saturating_add(3),
        })
    }
}

impl Addresses {
    fn of(app: &App, servers: &Servers) -> Result<Self, DemoError> {
        let bound = app.bound();
        let listeners = bound.routes.iter().find(|(route, _)| route == NAME);
        let bearerd = listeners.and_then(|(_, addresses)| addresses.first().and_then(crate::server::Bound::tcp));
        Ok(Self {
            bearerd: bearerd.ok_or(DemoError::Incomplete("listener"))?,
            admin: bound
                .admin
                .as_ref()
                .and_then(crate::server::Bound::tcp)
                .ok_or(DemoError::Incomplete("admin listener"))?,
            api: servers.api,
            authorization_server: servers.authorization_server,
        })
    }

    fn introduce(&self, out: &mut Printer, options: &Options) {
        let Self { bearerd, admin, api, authorization_server } = self;
        out.plain("bearerd demo: three servers in this process, and an application that knows nothing of tokens\n");
        out.say(&format!("bearerd               http://{bearerd}  (status: http://{admin}/status)"));
        out.say(&format!("the API               http://{api}  answers 401 to whoever has no live token"));
        out.say(&format!(
            "authorization server  http://{authorization_server}  issues tokens that live {} s",
            LIFETIME.as_secs()
        ));
        if let Some(path) = &options.write_config {
            out.say(&format!("\n   The configuration of this bearerd is in {}.", path.display()));
        }
    }

    fn invite(&self, out: &mut Printer) {
        let Self { bearerd, admin, api, authorization_server } = self;
        out.heading("Everything is still running. Try it:");
        let mut line = |command: String, says: &str| out.say(&format!("{command:<58}  {says}"));
        line(format!("curl http://{bearerd}/items"), "through bearerd: 200");
        line(format!("curl http://{api}/items"), "straight to the API: 401");
        line(format!("curl -d '{{\"name\":\"pen\"}}' http://{bearerd}/items"), "a POST with a body");
        line(format!("curl -X POST http://{authorization_server}/revoke-all"), "then the first line again: still 200");
        line(format!("curl -X POST http://{authorization_server}/outage/on"), "200 until the token expires, then 503");
        line(format!("curl -X POST http://{authorization_server}/outage/off"), "200 again within seconds");
        line(format!("curl http://{admin}/status"), "how bearerd sees it");
        line(format!("curl http://{admin}/metrics"), "and in figures");
        out.plain("\nCtrl-C ends it.");
    }
}

/// Keeps one line about the current token up to date; only a terminal can show that.
async fn show_token(stage: &Stage, out: &mut Printer, terminal: bool) {
    if !terminal {
        return std::future::pending().await;
    }
    out.plain("");
    loop {
        let status = stage.token.status();
        let token = match status.expires_in.filter(|_| status.usable) {
            Some(left) => format!("token {}, {} left", status.generation, time(left)),
            None => "no token".to_owned(),
        };
        let counts = stage.authorization_server.counts();
        out.live(&format!("{token}; {} token requests so far, {} of them failed", counts.total(), counts.failed));
        tokio::time::sleep(TICK).await;
    }
}

/// As many as the limit on open files allows, after raising it.
fn requests_in_flight() -> usize {
    let wanted = SPARE_DESCRIPTORS + IN_FLIGHT * DESCRIPTORS_PER_REQUEST;
    // Where it cannot be raised there are fewer requests, and the story says how many.
    process::want_open_files(wanted);
    let room = process::open_files().saturating_sub(SPARE_DESCRIPTORS);
    (room / DESCRIPTORS_PER_REQUEST).clamp(2, IN_FLIGHT)
}

/// A secret for this run alone: nobody shall learn one by heart from a demo.
fn random_secret() -> String {
    let mut bytes = [0; 12];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes.fill_with(|| fastrand::u8(..));
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
