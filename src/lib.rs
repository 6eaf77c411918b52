//! bearerd: a reverse proxy and auth sidecar that gives outgoing requests a fresh bearer token.
//!
//! An application that knows nothing of OAuth calls `http://127.0.0.1:8080`. bearerd obtains and refreshes the access token in the
//! background, sets `Authorization: Bearer …`, forwards to the upstream API, and turns an upstream's 401 into a
//! re-authentication and a replay that the application never notices.
//!
//! # Bird's-eye view
//!
//! ```text
//!              control thread                                   worker threads (1 to 4)
//!  ┌────────────────────────────────────────┐    ┌────────────────────────────────────────────────────┐
//!  │ acceptor ── accepted sockets ─────────────────▶ connection ──▶ proxy ──▶ upstream pool ──▶ API     │
//!  │ refresher (one a credential) ──▶ token ─── Reader ─────────────┘                                   │
//!  │   └─▶ oauth ──▶ token endpoint         │    └────────────────────────────────────────────────────┘
//!  │ admin: health, metrics, status, retry  │
//!  └────────────────────────────────────────┘
//! ```
//!
//! Every thread runs a current-thread Tokio runtime of its own. Threads share immutable settings, the published tokens and
//! atomics; the request path takes no lock while nothing is wrong. What every request would change (counts, places among the
//! requests in flight, references to the token) each worker has for itself, and who looks at the metrics sums it: two processors that
//! write to one place pay more for that than for the rest.
//!
//! # The rooms, and who may enter whom
//!
//! | room | owns |
//! |---|---|
//! | `main`, [`cli`] | argv, environment, exit codes; one file a verb |
//! | [`config`] | the TOML as written, in one file or several, every mistake with its place, the typed settings; the manual of all keys, as JSON Schema and as a document |
//! | [`app`] | the composition root: what is built, in which order, how another configuration takes its place, and how it ends |
//! | [`server`] | sockets of callers: listeners (bound here or handed over), acceptor, workers, connections, timers, HTTP/1; knows nothing of proxying |
//! | [`proxy`] | one request from head to tail: entry checks, routes, header rules, kept bodies, the 401 cycle, problems |
//! | [`upstream`] | the client side: resolve, connect, ways through HTTP proxies, TLS, HTTP/1 and the pool of one worker |
//! | [`token`] | the life of a token: refresher, schedule, gap, latch; `Reader` is all that the proxy sees |
//! | [`store`] | what instances know in common: places of entries (files, Redis), sealing, leases, whether the store answers; knows no tokens |
//! | [`oauth`] | one token request, with the steps that a vendor wants before it, and its answer, or a classed error; giving tokens back |
//! | [`admin`] | probes, metrics, the status page, retry, the wish to reload, to quit or to log more |
//! | [`demo`] | an authorization server, an API and a story around the real thing |
//! | [`tls`] | TLS configurations of both sides, made of files and made anew when these change; why handshakes fail |
//! | `http1` | HTTP/1 as both sides speak it: bodies as they come, messages as they go |
//! | [`jose`] | signed JWTs: keys in every form, algorithms, thumbprints; knows no claims |
//! | [`traces`] | spans of requests and token requests, and their way to a collector; with the feature `otel` |
//! | `fuzzing` | what must hold for any bytes whatever; in tests, and with the feature of that name, for `fuzz/`. The properties stand in the rooms that they are about |
//! | [`vendors`] | configurations to begin with, one file a vendor |
//! | [`alarm`], `delegate`, `disk`, [`dpop`], [`guard`], [`secret`], [`clock`], [`reason`], [`metrics`], [`notify`], [`panics`], [`backoff`], [`shutdown`], [`log`], `platform`, [`process`], `retry_after`, `runtime`, [`spelling`], `sync`, [`tunnel`], [`websocket`] | small ones, each one idea |
//!
//! `main → cli → app → everything`. `config` knows the parts' settings types; the parts never know `config`. `proxy` reaches `token`
//! (the `Reader` only), `upstream`, `guard`, `metrics`; `token` reaches `oauth` and `store`; `oauth` reaches `upstream` and `secret`; `server`
//! reaches none of them. [`traces`] reaches `upstream`, `secret` and `metrics`; `proxy` and `token` hand spans to it. What Unix and Windows have each in its own way is `platform`'s, or in a `unix` and a `windows` beside each other
//! in the room whose own difference it is. `http1`, which `server` and `upstream` share, `tls` and the small ones reach nothing but each other.
//!
//! # The path of a request
//!
//! 1. `server::acceptor` takes the socket and hands it to the worker with the fewest connections; with `[tls]`
//!    `server::handshake` comes first.
//! 2. `server::preface` tells HTTP/2 by its first bytes. Over HTTP/1 `server::framing` checks the bytes, and ends connections
//!    that are malformed or take too long; `server::http1` makes one request after the other of what passes, and is gone while none
//!    comes. HTTP/2 is hyper's: the streams of a connection go on from here side by side, each when everything is read that its caller
//!    has said by then; connections take turns (`server::turns`), the streams of each together, as long heads do (`server::steps`), and
//!    one that is ended for what its caller sent does not make room for the next at once (`server::offence`). Callers that read nothing
//!    of an answer are cut off (`server::patient`), and so is each stream of HTTP/2 (`server::stuck`); what a crowd has left of memory
//!    is given back (`server::ebb`).
//! 3. `proxy::entry` lets it in or refuses it: method, form, `Host`, caller, browser marks, route, whether the
//!    path stays within the upstream's (`proxy::readings`), loop, expectation.
//! 4. `proxy::intake` takes over the body: streamed at once, copied while it may be needed again. `proxy::share` is what this worker
//!    has of the route: connections, counts, its copy of the token.
//! 5. `proxy::outbound` strips and applies the route's `field_rules` (`Sanitized`), then sets the token (`Authorized`) in its header
//!    field, cookie or parameter (`proxy::places`); nothing else can be sent.
//! 6. `proxy::attempt` takes a connection (HTTP/1: pooled or fresh; HTTP/2: shared), checks the token's expiry, sends, waits for
//!    the head. `upstream::http1` writes and reads in this very task; a task of their own have HTTP/2 connections, and what is left of
//!    a request when its answer has begun (`upstream::http1::joint`), so that neither waits for the other.
//! 7. `proxy::cycle` judges the answer. A rejected token leads to `token::Reader::rejected` and at most one replay; a refused DPoP proof
//!    to another proof (`proxy::dpop`) and at most one more.
//! 8. `proxy::links`, `proxy::cookies` and `proxy::headers` turn references and cookies and strip fields; `proxy::reply` streams
//!    the body and closes the account. After a real 101, or what extended CONNECT has for it, `proxy::upgrade`
//!    hands both streams to [`tunnel`]; `upstream::extended_connect` and `server::switched` are where these are streams of HTTP/2.
//!
//! What will be logged of a request is noted on its way in `proxy::access`, if anything is; its id and its trace are `proxy::traced`'s.
//! With the feature `otel` `proxy::spans` records the request and each sending of it, and hands that over to [`traces`] at its end;
//! in a build without, `proxy::no_spans` stands there and compiles to nothing.
//! A failure anywhere becomes a `proxy::problem`, the only place where bearerd answers by itself, also to what `server` refuses; but for
//! a request that may go no further (`proxy::hops`).
//!
//! # The path of a token
//!
//! 1. `token::refresher` wakes: at the point that `token::schedule` gave, or because a reader met an expired or rejected token.
//!    Where there is a token store it first takes the fleet's turn (`token::fleet`): another instance may have asked already, or be
//!    asking; then it takes over what that one has learnt, a token or a refusal, and asks for nothing.
//! 2. `oauth` reads the secrets as they are now, asks the issuer where the token endpoint is, if only that is known
//!    (`oauth::discovery`), sends the steps of the login, if it has any (`oauth::steps`), builds the token request with what is
//!    signed for it (`oauth::assertion`, `oauth::dpop`), sends it over a connection of its own, reads the answer (`oauth::format`:
//!    JSON, a form or XML). A refresh token that is the only credential is used by one process at a time, and its successor is on the
//!    disk before anything else happens (`token::in_turn`, `token::rotation`).
//! 3. `token::acceptance` says for how long it is good; it is published with its generation and expiry; readers see it at their next atomic load, waiting ones are woken.
//! 4. A failure has a class, and the class decides when to ask again; a permanent one latches, after one confirmation.
//!    A panic of the refresher is one more failure, or none: it goes on (`token::supervision`).
//! 5. At the end, when no request needs it any more, the token is given back where that is configured (`oauth::revoke`).
//!
//! # The path of a configuration
//!
//! 1. `config::load` reads file, included files, flags and environment into one document, and that into [`config::Settings`], or says
//!    everything that is wrong.
//! 2. `app::reload` plans: all that can fail is made (TLS, connectors, token endpoints, sockets), and nothing is changed. What is written
//!    as before is marked to be kept. A start is the same with nothing to keep.
//! 3. It adopts: credentials that are new begin, those of which only figures have changed go on by the new ones (`token::change`), the
//!    gateway is exchanged (`proxy::live`: each worker takes it before its next request), new listeners are served, the old ones close. Requests in
//!    flight hold on to what they began with; a credential that was replaced ends when nobody holds it any more.
//! 4. It comes again by SIGHUP, by `POST /reload` or because `app::watch` saw other bytes in the files.
//!
//! # Invariants
//!
//! - No token is fetched on the request path, and no caller that hangs up cancels a fetch.
//! - An expired token is never sent: expiry is checked when the header is set, at every attempt, on a clock that counts suspend.
//! - Scheme, host and port of an upstream come from the configuration only; a caller's bytes choose path and query, and no
//!   reading of them leads out of the upstream's own path.
//! - Nothing of an answer reaches the caller before it is decided whether to replay; there is at most one replay, and
//!   one more where the answer asks for another DPoP proof.
//! - One token request at a time for each credential, never two within a second; over all instances that share a token store.
//! - The token store is never a reason to fail: what it does not answer in time is decided as if there were none.
//! - Redirects are followed nowhere.
//! - Over HTTP/1 nobody acts on a byte of a caller that `server::framing` has not judged, nor on one behind a request that is not
//!   answered yet. Over HTTP/2 frames are h2's to judge, and what they say is `proxy::entry`'s.
//! - What frames an answer (its length, `Transfer-Encoding`, `Connection`) is said by `server::http1` alone, whatever the upstream said.
//! - No caller holds a connection for ever: heads, bodies, unread answers and idleness each have their limit.
//! - Where a proxy is configured, nothing connects past it.
//! - A reload changes everything or nothing; no request that begins after it is served by what was before it.
//! - Secrets are read through [`secret::Secret::expose`] only; nothing that prints holds one.
//! - Labels of metrics come from the configuration and closed lists, never from a request.
//! - There is no `unsafe`, no lock held across an `await`, no way to switch certificate verification off.

pub mod admin;
pub mod alarm;
pub mod app;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
mod delegate;
pub mod demo;
mod disk;
pub mod dpop;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod guard;
mod http1;
pub mod jose;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod oauth;
pub mod panics;
mod platform;
pub mod process;
pub mod proxy;
pub mod reason;
mod retry_after;
mod runtime;
pub mod secret;
pub mod server;
pub mod shutdown;
pub mod spelling;
pub mod store;
mod sync;
pub mod tls;
pub mod token;
pub mod traces;
pub mod tunnel;
pub mod upstream;
pub mod vendors;
pub mod websocket;
