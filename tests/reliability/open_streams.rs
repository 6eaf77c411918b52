//! Streams that are open while tokens are renewed and revoked and the configuration changes (G25).

use std::fs;

use crate::figures::{Row, held};
use crate::streams::Far;
use crate::support::client::Load;
use crate::support::{Request, eventually, seconds, stage};
use crate::tests_of_it;

/// Of each kind.
const STREAMS: usize = 8;
const RENEWALS: usize = 3;

pub(crate) fn prove() -> Vec<Row> {
    let what = "3 renewals, a revocation, 2 reloads";
    // The gap of a token that lives this long is a second.
    let (endpoint, upstream, setup) = stage(12);
    let far = Far::start(&upstream);
    upstream.count_only();
    let setup = far.beside(setup);
    let bearerd = setup.start_ready();
    let streams = far.open(&bearerd, STREAMS);
    let load = Load::start(bearerd.address(), 4, seconds(0.01), Request::get("/items"));
    let before = endpoint.count();
    // Not when the endpoint has answered: a token that is revoked on its way proves useless, and opens the gap.
    let renewed = |more: f64| {
        let wanted = bearerd.token_requests("success") + more;
        eventually("renewals", seconds(60.0), || bearerd.token_requests("success") >= wanted || streams.has_lost_one());
    };
    renewed(RENEWALS as f64);
    endpoint.tokens().revoke_all();
    renewed(1.0);
    // Another credential takes the place of the one that the streams began with, and another route of theirs.
    let changed = setup.clone().credential("scope = \"another\"").route("headers = { set = { x-tenant = \"7\" } }");
    for text in [changed.text(), setup.text()] {
        fs::write(setup.directory().join("bearerd.toml"), text).unwrap();
        bearerd.reload("success");
        renewed(1.0);
    }
    let renewals = endpoint.count() - before;
    let mut rows = streams.end(what);
    let load = load.stop();
    let failed = load.total() - load.statuses.get(&200).copied().unwrap_or(0);
    if failed > 0 {
        eprintln!("{load:?}");
    }
    rows.push(held(
        format!("{what}: token requests while they were open"),
        renewals,
        format!("≥ {RENEWALS}"),
        renewals >= RENEWALS,
    ));
    rows.push(held(
        format!("{what}: other requests meanwhile, failed"),
        format!("{}, {failed}", load.total()),
        "0",
        failed == 0,
    ));
    rows.extend(tests_of_it::pass(
        "streams that outlive renewals",
        &[
            "streaming::an_event_stream_and_a_long_poll_outlive",
            "upgrades::an_upgraded_connection_outlives",
            "upgrades::python_websockets",
            "websocket_over_http2::from_",
            "grpc::all_kinds_of_calls",
        ],
        7,
    ));
    rows
}
