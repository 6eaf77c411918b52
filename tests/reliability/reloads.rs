//! A hundred reloads in a hundred seconds under load, with new connections all the time (G11): routes, credentials, secrets and
//! certificates change.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figures::{Row, held, milliseconds, row, secs};
use crate::process;
use crate::support::client::{Load, LoadReport};
use crate::support::tls_front::Authority;
use crate::support::{Bearerd, Request, Setup, TokenEndpoint, Upstream, eventually, now, pause, seconds, stage};

const RELOADS: u32 = 100;
/// Enough for two looks at the files on a busy machine.
const NOTICED: Duration = Duration::from_secs(15);

/// Two bearerds side by side: one with as much load as there can be, one with TLS towards its callers.
pub(crate) fn prove() -> Vec<Row> {
    let secure = std::thread::spawn(with_certificates);
    let mut rows = in_the_clear();
    rows.extend(secure.join().expect("the one with TLS"));
    rows
}

fn in_the_clear() -> Vec<Row> {
    let what = "100 reloads in 100 s";
    let (endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    let other = Upstream::start(endpoint.tokens());
    let setup = with_secret_in_a_file(&setup, &endpoint, &upstream);
    let bearerd = setup.start_ready();
    let texts = texts(&setup, &other);
    let kept = Load::start(bearerd.address(), 16, seconds(0.001), Request::get("/items"));
    // Who closes its connection after each answer needs the listener all the time.
    let fresh = Load::start(bearerd.address(), 8, seconds(0.003), Request::get("/items").field("connection", "close"));
    let start = now();
    let before = (process::resident(&bearerd), descriptors(bearerd.pid()));
    for number in 0..RELOADS {
        setup.secret_file("secret", &format!("secret canary number {number}\n"));
        let is_broken = number as usize % texts.len() == BROKEN;
        reload(&bearerd, &setup, &texts[number as usize % texts.len()], is_broken);
        keep_time(start, number);
    }
    let took = start.elapsed();
    let (kept, fresh) = (kept.stop(), fresh.stop());
    let grown = process::resident(&bearerd).saturating_sub(before.0);
    let secrets: std::collections::BTreeSet<_> =
        endpoint.requests().iter().filter_map(|request| request.basic()).collect();
    let rate = (kept.total() + fresh.total()) as f64 / took.as_secs_f64();
    let mut rows = counted(what, &bearerd, took);
    rows.extend([
        held(
            format!("{what}: requests a second"),
            format!("{rate:.0}"),
            "at least 5,000, on two free cores",
            rate >= 5_000.0,
        ),
        failed(&format!("{what}: answers on kept connections, failed"), &kept),
        failed(&format!("{what}: answers on new connections, failed or refused"), &fresh),
        held(
            format!("{what}: token requests (the credential changed twice in six), secrets that they were sent with"),
            format!("{}, {}", endpoint.count(), secrets.len()),
            "as many",
            secrets.len() == endpoint.count() && endpoint.count() > 20,
        ),
        row(format!("{what}: p99 of a request"), milliseconds(kept.quantile(0.99)), ""),
        row(format!("{what}: memory grown"), format!("{grown} KiB"), ""),
        row(format!("{what}: more descriptors"), descriptors(bearerd.pid()) - before.1, ""),
    ]);
    rows
}

/// Which of the texts is none.
const BROKEN: usize = 4;

fn texts(setup: &Setup, other: &Upstream) -> [String; 6] {
    let more = |lines: &str| format!("[routes.other]\npath = \"/other\"\nupstream = \"{}\"\n{lines}\n", other.url());
    [
        setup.text(),
        setup.clone().section(&more("credential = \"none\"")).text(),
        setup.clone().section(&more("listen = \"127.0.0.1:0\"")).text(),
        setup.clone().route("headers = { set = { x-tenant = \"7\" } }").section("[limits]\nconnections = 5000").text(),
        "[routes.api]\nupstream = nonsense\n".to_owned(),
        setup.clone().credential("scope = \"another\"").text(),
    ]
}

/// The usual setup with its client secret in a file that changes.
fn with_secret_in_a_file(setup: &Setup, endpoint: &TokenEndpoint, upstream: &Upstream) -> Setup {
    setup.secret_file("secret", "the first secret canary\n");
    let lines = "client_id = \"svc\"\nclient_secret = { file = \"secret\" }";
    let credential = format!("token_endpoint = \"{}\"\n{lines}\n", endpoint.url());
    setup.clone().credential_only(&upstream.url(), &credential)
}

/// The same with TLS: before each reload there is another certificate, in good order or broken.
fn with_certificates() -> Vec<Row> {
    let what = "100 reloads in 100 s, callers by TLS";
    let authority = Authority::new();
    let (_endpoint, upstream, setup) = stage(3_600);
    upstream.count_only();
    let setup = setup.section("[tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"");
    authority.issue_until("localhost", 2090).write(setup.directory(), "server");
    let bearerd = setup.start_ready();
    let tunnel = authority.tunnel(bearerd.address(), None);
    let kept = Load::start(tunnel, 4, seconds(0.01), Request::get("/items"));
    let fresh = Load::start(tunnel, 2, seconds(0.05), Request::get("/items").field("connection", "close"));
    let other = setup.clone().route("headers = { set = { x-tenant = \"7\" } }");
    let start = now();
    for number in 0..RELOADS {
        authority.issue_until("localhost", 2091 + number as i32).write(setup.directory(), "server");
        let is_broken = number as usize % 6 == BROKEN;
        if is_broken {
            fs::write(setup.directory().join("server.pem"), "-----BEGIN CERT").unwrap();
        }
        let text = if number % 2 == 0 { &other } else { &setup };
        reload(&bearerd, &setup, &text.text(), is_broken);
        keep_time(start, number);
    }
    let took = start.elapsed();
    let (kept, fresh) = (kept.stop(), fresh.stop());
    // Seconds in a year of the Gregorian calendar.
    let last_year = || {
        let labels = [("certificate", "tls")];
        let ends = bearerd.metric("bearerd_tls_certificate_expiry_timestamp_seconds", &labels).unwrap_or_default();
        (1970.0 + ends / 31_556_952.0).round()
    };
    // Files are looked at every few seconds.
    let wanted = f64::from(2090 + RELOADS);
    while last_year() != wanted && start.elapsed() < took + NOTICED {
        pause(seconds(0.2));
    }
    let year = last_year();
    let mut rows = counted(what, &bearerd, took);
    rows.extend([
        failed(&format!("{what}: answers on kept connections, failed"), &kept),
        failed(&format!("{what}: answers on new connections, failed or refused"), &fresh),
        held(
            format!("{what}: year in which the certificate in use ends, soon after the last one"),
            year,
            format!("{wanted}"),
            year == wanted,
        ),
    ]);
    rows
}

fn reload(bearerd: &Bearerd, setup: &Setup, text: &str, is_broken: bool) {
    let path = setup.directory().join("bearerd.toml");
    replace(&path, text);
    bearerd.reload(if is_broken { "failure" } else { "success" });
    let is_told = || bearerd.metric("bearerd_config_last_reload_success_timestamp_seconds", &[]).is_some();
    eventually("a metric that tells it", seconds(5.0), is_told);
}

fn replace(path: &Path, text: &str) {
    fs::write(path.with_extension("new"), text).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

/// One a second.
fn keep_time(start: Instant, number: u32) {
    pause((Duration::from_secs(1) * (number + 1)).saturating_sub(start.elapsed()));
}

fn counted(what: &str, bearerd: &Bearerd, took: Duration) -> Vec<Row> {
    let [good, broken] = [bearerd.reloads("success"), bearerd.reloads("failure")];
    let wanted = (0..RELOADS).filter(|number| *number as usize % 6 == BROKEN).count() as f64;
    vec![
        held(format!("{what}: took"), secs(took), "100 s, or 5 % more", took.as_secs_f64() <= 105.0),
        held(
            format!("{what}: taken over, refused as broken and told by the metric"),
            format!("{good}, {broken}"),
            format!("{}, {wanted}", f64::from(RELOADS) - wanted),
            good == f64::from(RELOADS) - wanted && broken == wanted,
        ),
    ]
}

fn failed(what: &str, report: &LoadReport) -> Row {
    let failed = report.total() - report.statuses.get(&200).copied().unwrap_or(0);
    if failed > 0 {
        eprintln!("{what}: {report:?}");
    }
    held(what, format!("{}, {failed}", report.total()), "0 failed", failed == 0 && report.total() > 0)
}

fn descriptors(pid: u32) -> i64 {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as i64
}
