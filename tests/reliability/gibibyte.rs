//! A gibibyte each way, from and to both HTTPs: nothing of it changes, and little of it stays.

use crate::figures::{Row, row};
use crate::process;
use crate::support::bulk::{self, Version, Way};
use crate::support::{now, stage};

const LENGTH: u64 = 1 << 30;
/// The most resident memory of a bearerd that has passed all of them, in MiB.
const PEAK: u64 = 64;
/// Loopback does far more; what is slower stands still somewhere.
const SLOWEST: f64 = 50.0;

pub(crate) fn prove() -> Vec<Row> {
    let wanted = bulk::expected(LENGTH);
    let mut rows = vec![row("1 GiB: what is sent", wanted.rsplit(' ').next().unwrap()[..16].to_owned() + "…", "")];
    for upstream in [Version::Http1, Version::Http2] {
        for caller in [Version::Http1, Version::Http2] {
            rows.extend(through(caller, upstream, &wanted));
        }
    }
    rows
}

fn through(caller: Version, upstream: Version, wanted: &str) -> Vec<Row> {
    let (_endpoint, scripted, setup) = stage(300);
    scripted.count_only();
    let (address, route) = match upstream {
        Version::Http1 => {
            bulk::serve_http1(&scripted, LENGTH);
            (scripted.address(), "")
        }
        Version::Http2 => (bulk::serve_http2(LENGTH), "upstream_protocol = \"h2\""),
    };
    let bearerd = setup.upstream(&format!("http://{address}")).route(route).start_ready();
    let what = format!("1 GiB, {caller:?} to {upstream:?}");
    let mut rows = Vec::new();
    for way in [Way::Down, Way::Up] {
        let (cpu, start) = (process::cpu(&bearerd), now());
        let told = bulk::transfer(caller, bearerd.address(), way, LENGTH).unwrap();
        let (took, cpu) = (start.elapsed().as_secs_f64(), process::cpu(&bearerd) - cpu);
        assert_eq!(told, wanted, "{what}, {way:?}");
        let rate = LENGTH as f64 / took / f64::from(1 << 20);
        assert!(rate >= SLOWEST, "{what}, {way:?}: {rate:.0} MiB/s");
        let way = format!("{way:?}").to_lowercase();
        rows.push(row(format!("{what}, {way}: SHA-256 at both ends"), "equal", "equal"));
        rows.push(row(format!("{what}, {way}: speed"), format!("{rate:.0} MiB/s"), format!("≥ {SLOWEST} MiB/s")));
        rows.push(row(format!("{what}, {way}: processor time of bearerd"), format!("{cpu:.2} s"), ""));
    }
    let peak = process::peak(&bearerd) / 1024;
    assert!(peak <= PEAK, "{what}: {peak} MiB");
    rows.push(row(format!("{what}: most memory ever (VmHWM)"), format!("{peak} MiB"), format!("≤ {PEAK} MiB")));
    rows
}
