//! The top level, and the tables that concern neither routes nor credentials.

use super::Default::{Is, None, Required, Says};
use super::Kind::{Account, Boolean, Either, Integer, Many, Map, Proxy, Secret, Share, Table, Word};
use super::{Form, Key, Kind, Section, key, words};
use crate::config::{admin, callers, limits, log, root, store, timeouts, tls, traces};

pub(super) const TOP: &[Section] = &[Section {
    id: "top",
    heading: "The top level",
    about: "Two tables are needed: one route and, unless it forwards without a token, one credential.",
    keys: &root::KEYS,
    rows: &[ROOT],
}];

pub(super) const REST: &[Section] = &[
    Section {
        id: "server_tls",
        heading: "[tls]",
        about: "Towards the callers: the listeners of routes speak https; health and metrics stay plain. Files are read again when they change.",
        keys: &tls::SERVER_KEYS,
        rows: &[SERVER_TLS],
    },
    Section {
        id: "callers",
        heading: "[callers]",
        about: "Who may use the proxy.",
        keys: &callers::KEYS,
        rows: &[CALLERS],
    },
    Section {
        id: "route_callers",
        heading: "[routes.NAME.callers]",
        about: "The same for one route; what is left out is as in `[callers]`.",
        keys: &callers::ROUTE_KEYS,
        rows: &[CALLERS],
    },
    Section {
        id: "admin",
        heading: "[admin]",
        about: "Seeing how it does, and what may be done about it.",
        keys: &admin::KEYS,
        rows: &[ADMIN],
    },
    Section {
        id: "timeouts",
        heading: "[timeouts]",
        about: "`\"off\"` where a time can be switched off.",
        keys: &timeouts::KEYS,
        rows: &[TIMEOUTS],
    },
    Section {
        id: "route_timeouts",
        heading: "[routes.NAME.timeouts]",
        about: "The same for one route; what is left out is as in `[timeouts]`.",
        keys: &timeouts::ROUTE_KEYS,
        rows: &[TIMEOUTS],
    },
    Section {
        id: "limits",
        heading: "[limits]",
        about: "Each for the whole process.",
        keys: &limits::KEYS,
        rows: &[LIMITS],
    },
    Section {
        id: "log",
        heading: "[log]",
        about: "One line an event, to standard error. No level shows a secret, a header or a query.",
        keys: &log::KEYS,
        rows: &[LOG],
    },
    Section {
        id: "store",
        heading: "[store]",
        about: "Where tokens are kept that survive a restart, and that several instances share. Everything is sealed; a store that fails never makes a request fail.",
        keys: &store::KEYS,
        rows: &[STORE, REDIS],
    },
    Section {
        id: "traces",
        heading: "[traces]",
        about: "Spans by OpenTelemetry, as OTLP over HTTP (`http/protobuf`); only in a bearerd that was built with `--features otel`. What is left out is as OpenTelemetry's variables say (`OTEL_EXPORTER_OTLP_ENDPOINT` and others), whose endpoint is enough without this table.",
        keys: &traces::KEYS,
        rows: &[TRACES],
    },
];

const DURATION: Kind = Kind::Form(Form::Duration);
const SWITCHABLE: Kind = Either(&DURATION, &Kind::Form(Form::Off));
const TEXT: Kind = Kind::Form(Form::Some);
const LISTEN: Kind = Kind::Form(Form::Listen);
const ADMIN_LISTEN: Kind = Either(&Many(&LISTEN), &Kind::Form(Form::Off));
const SIZE: Kind = Kind::Form(Form::Size);

#[rustfmt::skip]
const ROOT: &[Key] = &[
    key("listen", Many(&LISTEN), Is("\"localhost:8080\""), "Where applications call: one address or a list. `localhost` is both loopbacks; `unix:PATH` is a Unix socket (mode 0660); `fd:NAME` is every socket that systemd hands over by that name."),
    key("workers", Integer(1, root::MOST_WORKERS), Says("the CPUs that the process may use, at most 4"), "Threads."),
    key("state_directory", TEXT, None, "What must survive a restart goes here: that a login was refused, a refresh token that the server has rotated."),
    key("watch", Boolean, Says("`true` in a Kubernetes volume, else `false`"), "Reload when the configuration file changes."),
    key("include", Many(&TEXT), None, "More files with routes and credentials: paths and patterns, such as `\"conf.d/*.toml\"`."),
    key("routes", Map(Form::Name, &Table("route")), Says("required, here or in an included file"), "What is forwarded where. The name is the label of metrics and logs."),
    key("credentials", Map(Form::Name, &Table("credential")), None, "Ways to get tokens. A single one is every route's."),
    key("tls", Table("server_tls"), None, "TLS towards the callers."),
    key("callers", Table("callers"), None, "Who may use the proxy."),
    key("admin", Table("admin"), None, "Health, metrics and status."),
    key("timeouts", Table("timeouts"), None, "Times."),
    key("limits", Table("limits"), None, "Limits."),
    key("log", Table("log"), None, "The log."),
    key("store", Table("store"), None, "Where tokens are kept."),
    key("traces", Table("traces"), None, "Traces by OpenTelemetry."),
];

#[rustfmt::skip]
const ADMIN: &[Key] = &[
    key("listen", ADMIN_LISTEN, Is("\"localhost:9180\""), "Health, metrics and status; `\"off\"` for none."),
    key("probe_listen", ADMIN_LISTEN, None, "A second listener with probes and metrics alone, which anybody may ask."),
    key("reload", Boolean, Is("false"), "Whether `POST /reload` works."),
    key("quit", Boolean, Is("false"), "Whether `POST /quitquitquit` works."),
    key("retry", Boolean, Is("true"), "Whether `POST /retry/NAME` works: a credential that waits or has given up asks again."),
    key("log_level", Boolean, Is("false"), "Whether `POST /log-level?level=debug&for=10m` works."),
];

#[rustfmt::skip]
const SERVER_TLS: &[Key] = &[
    key("certificate", TEXT, Required, "A PEM file; intermediate ones after it."),
    key("key", TEXT, Required, "A PEM file: PKCS#8, PKCS#1 or SEC 1, not encrypted."),
    key("client_ca", TEXT, None, "A PEM file of authorities: only callers with a certificate of theirs are let in."),
];

#[rustfmt::skip]
const CALLERS: &[Key] = &[
    key("hosts", Many(&Kind::Form(Form::Host)), Is("[]"), "`Host` values to allow beside loopback names, `*.localhost` and the routes' hosts."),
    key("from", Many(&Kind::Form(Form::Range)), Says("`[\"loopback\"]`"), "Address ranges, or `\"any\"`; must be written to listen beyond loopback, unless `tls.client_ca` or `key` is."),
    key("uids", Many(&Account), Says("everybody"), "Users of this machine, by name or number, whose processes may call: by Unix sockets and by loopback."),
    key("gids", Many(&Account), Says("everybody"), "Likewise groups; a caller needs to be of one of these users or groups."),
    key("key", Secret, None, "What callers must send. `Host` is then not checked. Read again when its file changes."),
    key("key_header", Kind::Form(Form::Header), Says("`\"x-bearerd-key\"`"), "The header that carries it, which is not forwarded."),
    key("client_names", Many(&TEXT), Says("every name"), "Names (SANs) in the certificates of callers: DNS, URI (`spiffe://…`), address or mail address."),
];

#[rustfmt::skip]
const TIMEOUTS: &[Key] = &[
    key("connect", DURATION, Is("\"5s\""), "To connect to a server, name and TLS included."),
    key("request_head", SWITCHABLE, Is("\"10s\""), "For a caller's request line and headers."),
    key("request_body_idle", SWITCHABLE, Is("\"30s\""), "Between two pieces of a caller's body, before the answer."),
    key("response_head", SWITCHABLE, Is("\"60s\""), "From the request being sent to the upstream's answer; gRPC calls have their `grpc-timeout` or none."),
    key("response_unread", SWITCHABLE, Is("\"60s\""), "How long a caller may take nothing of its answer while there is more for it; over HTTP/2 of each answer for itself, and less than 16 KiB is nothing there."),
    key("keep_alive", SWITCHABLE, Is("\"60s\""), "Between two requests of a caller's connection."),
    key("upstream_idle", SWITCHABLE, Is("\"15s\""), "How long an idle connection to the upstream is kept."),
    key("token_request", DURATION, Is("\"10s\""), "One token request, from connecting to the last byte."),
    key("drain_delay", SWITCHABLE, Is("\"0s\""), "At the end: how long to go on serving while readiness is already false."),
    key("drain", DURATION, Is("\"25s\""), "At the end: how long requests in flight may take."),
];

#[rustfmt::skip]
const LIMITS: &[Key] = &[
    key("connections", Integer(1, limits::MOST), Is("16384"), "Of callers; further ones get 503. Never more than three quarters of the files that may be open."),
    key("requests_in_flight", Integer(1, limits::MOST), Is("8192"), "From the head of a request to the end of its answer; streams count too. Never more than a quarter of the files that may be open."),
    key("queue", DURATION, Is("\"1s\""), "How long one more request may wait to be among them, then it gets 503."),
    key("head", SIZE, Is("\"32KiB\""), "A caller's request line and headers, from 1KiB to 256KiB."),
    key("replay_memory", SIZE, Is("\"64MiB\""), "All request bodies kept for a replay together."),
];

#[rustfmt::skip]
const LOG: &[Key] = &[
    key("format", Word(|| words(log::FORMATS)), Is("\"auto\""), "`text` on a terminal, `json` elsewhere; `gcp` is the JSON that Google Cloud Logging reads (`severity`, `httpRequest`, the trace)."),
    key("level", Word(|| words(log::LEVELS)), Is("\"info\""), "The least level written."),
    key("access", Share, Is("false"), "One line for each request, or for a share of them: `0.01` is one in a hundred. What failed is always written: answers from 500 on, and every answer of bearerd's own."),
    key("request_id", Kind::Form(Form::Header), Says("`x-request-id` is looked for, and made nowhere"), "The header with a request's id. One that has none gets one, which the upstream sees too; it is in the log and in the problem documents."),
];

#[rustfmt::skip]
const STORE: &[Key] = &[
    key("kind", Word(|| words(store::KINDS)), Says("`\"memory\"`"), "`memory` is each process's own; `file` survives restarts, and several processes of one host may share it; `redis` is a Redis or Valkey for any number of instances."),
    key("seal_key", Secret, Says("required with `file` and `redis`"), "What everything is sealed with: at least 32 characters, the same for all who share the store. To make one: `head -c 32 /dev/urandom \\| base64`."),
    key("old_seal_key", Secret, None, "The key before it, while some instances have no other: what it sealed is still read."),
    key("timeout", DURATION, Says("`\"1s\"`"), "How long one question to the store may take, at most 10s."),
    key("directory", TEXT, Says("`store` below `state_directory`"), "With `file`: made with mode 0700 when it is first used. On a disk of this host, and not on one of the network."),
];

#[rustfmt::skip]
const REDIS: &[Key] = &[
    key("url", Many(&TEXT), Says("required with `redis`"), "`redis://HOST:6379/0`, with TLS `rediss://…`, or `unix:///PATH`; several for Sentinel and clusters. Without user and password."),
    key("sentinel", TEXT, None, "The name of the master: the URLs are those of Sentinels, which know where it is."),
    key("cluster", Boolean, Says("`false`"), "The URLs are some nodes of a cluster."),
    key("username", Secret, None, "A user of the server's ACL."),
    key("password", Secret, None, "The user's, or that of `requirepass`."),
    key("sentinel_username", Secret, None, "Likewise, for Sentinel."),
    key("sentinel_password", Secret, None, "Likewise, for Sentinel."),
    key("allow_plain_tcp", Boolean, Says("`false`"), "Accept a password on a connection without TLS beyond loopback: what is stored is sealed, the password is not."),
    key("tls", Table("tls"), None, "TLS towards the servers, with `rediss://`."),
];

#[rustfmt::skip]
const TRACES: &[Key] = &[
    key("endpoint", Kind::Form(Form::Url), Says("`\"http://localhost:4318\"`"), "The collector. `/v1/traces` is added."),
    key("allow_plain_http", Boolean, Is("false"), "Allow plain http to a collector beyond this machine."),
    key("headers", Map(Form::Header, &Secret), None, "Fields of the requests to the collector, such as an API key."),
    key("sample", Either(&Share, &Kind::Form(Form::Percent)), Says("`true`"), "Of how many traces that begin here there are spans: a share from 0 to 1, or `\"5%\"`. A caller that sends `traceparent` has decided already."),
    key("service_name", TEXT, Says("`\"bearerd\"`"), "`service.name` of the spans."),
    key("resource", Map(Form::Text, &TEXT), None, "Further attributes of all spans, such as `\"deployment.environment.name\" = \"production\"`."),
    key("proxy", Proxy, Says("`\"env\"`"), "As with a route."),
    key("tls", Table("tls"), None, "TLS towards the collector."),
];
