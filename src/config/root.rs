//! The top level: the tables put together, and the checks that concern several of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::document::{Entry, Table, Value};
use super::listen::{Expected, Listener};
use super::mistake::Place;
use super::reader::{Keys, Reader};
use super::{
    ListenAddress, Settings, admin, callers, credential, include, limits, listen, log, route, store, timeouts, tls,
    traces, value,
};
use crate::oauth::settings::Legal;
use crate::proxy::settings::{Callers, Inject};
use crate::reason::Reason;

pub(super) const KEYS: Keys = Keys {
    name: "the top level",
    obeyed: &[
        "listen",
        "workers",
        "watch",
        "include",
        "state_directory",
        "admin",
        "routes",
        "credentials",
        "tls",
        "callers",
        "timeouts",
        "limits",
        "log",
        "store",
        "traces",
    ],
    later: &[],
    protective: &[],
};

const LISTEN: ListenAddress = ListenAddress::Localhost(8080);

/// More workers than this are a slip of the finger.
pub(super) const MOST_WORKERS: i128 = 1024;

/// The whole document. `None` if a part has mistakes; mistakes may have been recorded in either case.
pub(super) fn read(context: &Context<'_>, table: &Table, whole: &Place) -> Option<Settings> {
    let reader = Reader::new(context, Some(table), whole.clone(), "", &KEYS);
    let timeouts = timeouts::read(&reader.table("timeouts", &timeouts::KEYS));
    let credentials = credentials(&reader, timeouts.token_request);
    let tls = tls::server(&reader.table("tls", &tls::SERVER_KEYS));
    let callers = callers::read(&reader.table("callers", &callers::KEYS), tls::asks_for_certificates(&reader));
    let routes = routes(&reader, &credentials, &timeouts, &callers);
    let (admin, admin_listeners) = admin::read(&reader.table("admin", &admin::KEYS));
    let shared = shared_listeners(&reader, &routes);
    let rules = Rules {
        from: callers.from.is_some(),
        key: callers.key.is_some(),
        certificates: tls::asks_for_certificates(&reader),
    };
    let inherited = check_listeners(context, &shared, &routes, &admin, &admin_listeners, rules);
    route::check_duplicates(context, &routes, &shared);
    let limits = limits::read(&reader.table("limits", &limits::KEYS));
    let workers = workers(&reader);
    let watch = watch(&reader, whole);
    // What it names is part of the document already.
    let _ = reader.node("include");
    let state_directory = state_directory(&reader);
    let store = store::read(&reader.table("store", &store::KEYS), state_directory.as_deref());
    warn_of_lost_refresh_tokens(&reader, &credentials);
    let log = log::read(&reader.table("log", &log::KEYS));
    let traces = traces::read(&reader.table("traces", &traces::KEYS));
    check_unused(context, &credentials, &routes);
    Some(Settings {
        listen: shared.iter().map(|listener| listener.address.clone()).collect(),
        inherited,
        watch,
        workers,
        state_directory,
        admin,
        credentials: finish_credentials(credentials, &routes)?,
        routes: routes.into_iter().map(|route| route.settings).collect::<Option<_>>()?,
        callers,
        tls,
        timeouts,
        limits,
        log,
        store,
        traces,
        warnings: Vec::new(),
        secret_variables: BTreeSet::new(),
    })
}

fn credentials(reader: &Reader<'_>, token_request: std::time::Duration) -> Vec<credential::Credential> {
    let read = |entry| {
        let reader = named(reader, "credentials", entry, &credential::KEYS);
        if entry.key == "none" {
            let message = "cannot be called \"none\", which stands for no credential";
            reader.context().mistake(entry.key_place.clone(), Reason::ConfigWrongValue, reader.path(), message);
        }
        credential::read(&reader, &entry.key, token_request)
    };
    with_names(reader, "credentials").into_iter().map(read).collect()
}

/// The tables of routes or credentials. A key without a name above it is told of once: it lacks a line, and nothing else.
fn with_names<'a>(reader: &Reader<'a>, of: &'static str) -> Vec<&'a Entry> {
    let (tables, others): (Vec<_>, Vec<_>) =
        reader.entries(of).iter().partition(|entry| matches!(entry.node.value, Value::Table(_)));
    if let Some(first) = others.first() {
        let example = if of == "routes" { "[routes.api]" } else { "[credentials.api]" };
        let message = format!("needs a name above it: write {example} in place of [{of}]");
        let path = super::reader::dotted(of, &first.key);
        reader.context().mistake(first.key_place.clone(), Reason::ConfigWrongValue, path, message);
    }
    tables
}

fn routes(
    reader: &Reader<'_>,
    credentials: &[credential::Credential],
    timeouts: &super::Timeouts,
    callers: &Callers,
) -> Vec<route::Route> {
    let entries = with_names(reader, "routes");
    let is_empty = reader.node("routes").is_none_or(|node| match &node.value {
        Value::Table(table) => table.entries.is_empty(),
        _ => false,
    });
    if is_empty {
        let message = "at least one is required: [routes.api] with upstream = \"https://api.example.com\"";
        reader.reject("routes", Reason::ConfigMissing, message);
    }
    let read = |entry| {
        route::read(&named(reader, "routes", entry, &route::KEYS), &entry.key, credentials, (timeouts, callers))
    };
    entries.into_iter().map(read).collect()
}

fn named<'a>(reader: &Reader<'a>, of: &str, entry: &'a Entry, keys: &'static Keys) -> Reader<'a> {
    let path = super::reader::dotted(of, &entry.key);
    if let Err(message) = value::name(&entry.key) {
        reader.context().mistake(entry.key_place.clone(), Reason::ConfigWrongValue, &*path, message);
    }
    Reader::of_node(reader.context(), &entry.node, entry.key_place.clone(), path, keys)
}

/// The listeners at the top; none if every route has its own.
fn shared_listeners(reader: &Reader<'_>, routes: &[route::Route]) -> Vec<Listener> {
    let is_used = routes.is_empty() || routes.iter().any(|route| route.listeners.is_empty());
    if reader.has("listen") {
        if !is_used {
            reader.warn("listen", Reason::ConfigContradiction, "is not listened on: every route has its own listen");
        }
        let written = listen::read(reader, "listen").unwrap_or_default();
        return if is_used { written } else { Vec::new() };
    }
    let default = Listener { address: LISTEN, place: reader.place().clone(), key: "listen".to_owned() };
    if is_used { vec![default] } else { Vec::new() }
}

/// What says who may call.
#[derive(Clone, Copy)]
struct Rules {
    from: bool,
    /// On the proxy's listeners: the admin listener asks for none.
    key: bool,
    /// On the proxy's listeners: the admin listener is plain.
    certificates: bool,
}

/// The checks over all listeners; returns those whose sockets are handed over at start.
fn check_listeners(
    context: &Context<'_>,
    shared: &[Listener],
    routes: &[route::Route],
    admin: &super::AdminSettings,
    admin_listeners: &[Listener],
    rules: Rules,
) -> Vec<Expected> {
    let own = routes.iter().flat_map(|route| &route.listeners);
    let proxy: Vec<_> = shared.iter().chain(own).cloned().collect();
    listen::check_overlaps(context, &proxy, admin_listeners);
    let mut open = Vec::new();
    if !rules.from && !rules.certificates && !rules.key {
        // Those of routes that all have rules of their own are safe.
        let is_open = |listener: &Listener, is_shared: bool| {
            let mut users = routes.iter().filter(|route| match is_shared {
                true => route.listeners.is_empty(),
                false => route.listeners.iter().any(|own| own.address == listener.address),
            });
            routes.is_empty() || users.any(|route| !route.says_who)
        };
        let shared = shared.iter().filter(|listener| is_open(listener, true));
        let own = routes.iter().flat_map(|route| &route.listeners).filter(|listener| is_open(listener, false));
        open.extend(shared.chain(own).cloned());
    }
    if !rules.from {
        // `probe_listen` is meant for anybody; `listen` beside it is not.
        let guarded = admin_listeners.iter().filter(|listener| Some(&listener.address) == admin.listen.as_ref());
        open.extend(guarded.filter(|listener| listener.key == "admin.listen").cloned());
    }
    listen::check_exposure(context, &open);
    listen::expected(&[&proxy, admin_listeners].concat(), &open)
}

/// In a Kubernetes volume by itself.
fn watch(reader: &Reader<'_>, whole: &Place) -> bool {
    let written = reader.boolean("watch");
    let Place::File { path, .. } = whole else {
        if written == Some(true) {
            reader.warn("watch", Reason::ConfigContradiction, "there is no file to watch");
        }
        return false;
    };
    written.unwrap_or_else(|| include::is_in_kubernetes_volume(Path::new(&**path)))
}

fn workers(reader: &Reader<'_>) -> usize {
    let written = reader.integer("workers", 1..=MOST_WORKERS).and_then(|workers| usize::try_from(workers).ok());
    // The standard library asks the affinity mask and the cgroup's quota.
    let available = || std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(4));
    written.unwrap_or_else(available)
}

fn state_directory(reader: &Reader<'_>) -> Option<PathBuf> {
    let written = reader.non_empty("state_directory")?;
    let directory = reader.context().resolve(&written, &reader.node("state_directory")?.place);
    match std::fs::metadata(&directory) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            reader.reject("state_directory", Reason::ConfigFile, format!("{} is no directory", directory.display()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = format!(
                "StateDirectory= of the systemd unit makes it; elsewhere: mkdir -m 700 {}",
                directory.display()
            );
            let message = format!("{} does not exist; {made}", directory.display());
            match reader.context().before_start {
                true => reader.warn("state_directory", Reason::ConfigFile, message),
                false => reader.reject("state_directory", Reason::ConfigFile, message),
            }
        }
        Err(error) => {
            let message = format!("{} cannot be used: {error}", directory.display());
            reader.reject("state_directory", Reason::ConfigFile, message);
        }
    }
    Some(directory)
}

/// Servers that rotate refresh tokens take each of them once.
fn warn_of_lost_refresh_tokens(reader: &Reader<'_>, credentials: &[credential::Credential]) {
    let lives_by_one = |credential: &&credential::Credential| {
        credential.settings.as_ref().is_some_and(|settings| settings.token.lives_by_refresh_token)
    };
    if reader.has("state_directory") {
        return;
    }
    for credential in credentials.iter().filter(lives_by_one) {
        let message = "without state_directory a refresh token that the server rotates is lost at the next restart; at the \
                       top: state_directory = \"/var/lib/bearerd\"";
        let key = format!("credentials.{}.refresh_token", credential.name);
        reader.context().warning(credential.place.clone(), Reason::ConfigMissing, key, message);
    }
}

fn check_unused(context: &Context<'_>, credentials: &[credential::Credential], routes: &[route::Route]) {
    let is_used = |name: &str| routes.iter().any(|route| route.credential.as_deref() == Some(name));
    for credential in credentials.iter().filter(|credential| !is_used(&credential.name)) {
        let key = format!("credentials.{}", credential.name);
        context.warning(credential.place.clone(), Reason::ConfigContradiction, key, "no route uses it");
    }
}

/// A token must be legal wherever some route puts it: with the schemes Bearer and DPoP it is a b64token (RFC 6750 §2.1, RFC 9449
/// §7.1).
fn finish_credentials(
    credentials: Vec<credential::Credential>,
    routes: &[route::Route],
) -> Option<Vec<super::Credential>> {
    let finish = |credential: credential::Credential| {
        let mut settings = credential.settings?;
        let users = routes.iter().filter(|route| route.credential.as_ref() == Some(&credential.name));
        let mut places: Vec<_> = users.map(|route| &route.inject).collect();
        if places.is_empty() {
            places.push(&credential.inject);
        }
        settings.oauth.legal = legal(&places);
        Some(settings)
    };
    credentials.into_iter().map(finish).collect()
}

fn legal(places: &[&Inject]) -> Legal {
    let mut schemes = places.iter().filter_map(|place| place.scheme());
    Legal {
        bearer: schemes.any(|scheme| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop")),
        header: places.iter().any(|place| place.header().is_some()),
        cookie: places.iter().any(|place| matches!(place, Inject::Cookie(_))),
    }
}
