//! A hundred reloads in a hundred seconds under load, with new connections all the time.

use std::fs;

use crate::figures::{Row, row};
use crate::process;
use crate::support::client::Load;
use crate::support::{Request, Upstream, now, pause, seconds, stage};

const RELOADS: u32 = 100;

pub(crate) fn prove() -> Vec<Row> {
    let (endpoint, _upstream, setup) = stage(3_600);
    let other = Upstream::start(endpoint.tokens());
    let bearerd = setup.start_ready();
    let more = |lines: &str| format!("[routes.other]\npath = \"/other\"\nupstream = \"{}\"\n{lines}\n", other.url());
    let texts = [
        setup.text(),
        setup.clone().section(&more("credential = \"none\"")).text(),
        setup.clone().section(&more("listen = \"127.0.0.1:0\"")).text(),
        setup.clone().route("headers = { set = { x-tenant = \"7\" } }").section("[limits]\nconnections = 5000").text(),
        "[routes.api]\nupstream = nonsense\n".to_owned(),
        setup.clone().credential("scope = \"another\"").text(),
    ];
    let kept = Load::start(bearerd.address(), 16, seconds(0.003), Request::get("/items"));
    // Who closes its connection after each answer needs the listener all the time.
    let fresh = Load::start(bearerd.address(), 8, seconds(0.005), Request::get("/items").field("connection", "close"));
    let start = now();
    let before = (process::resident(&bearerd), descriptors(bearerd.pid()));
    for number in 0..RELOADS {
        let path = setup.directory().join("bearerd.toml");
        fs::write(path.with_extension("new"), &texts[number as usize % texts.len()]).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
        let is_broken = number as usize % texts.len() == 4;
        bearerd.reload(if is_broken { "failure" } else { "success" });
        pause((seconds(1.0) * (number + 1)).saturating_sub(start.elapsed()));
    }
    let took = start.elapsed();
    let (kept, fresh) = (kept.stop(), fresh.stop());
    kept.expect_all_ok();
    fresh.expect_all_ok();
    let counted = [bearerd.reloads("success"), bearerd.reloads("failure")];
    assert_eq!(counted[0] + counted[1], f64::from(RELOADS));
    let grown = process::resident(&bearerd).saturating_sub(before.0);
    vec![
        row("100 reloads in 100 s under load: took", format!("{took:.0?}"), "100 s"),
        row(
            "100 reloads: taken over, and refused as broken",
            format!("{}, {}", counted[0], counted[1]),
            "100 together",
        ),
        row("100 reloads: answers on kept connections, all 200", kept.total().to_string(), "0 failed"),
        row("100 reloads: answers on new connections, all 200", fresh.total().to_string(), "0 refused"),
        row("100 reloads: token requests (the credential changed twice in six)", endpoint.count().to_string(), ""),
        row("100 reloads: p99 of a request", format!("{:.2?}", kept.quantile(0.99)), ""),
        row("100 reloads: memory grown", format!("{grown} KiB"), ""),
        row("100 reloads: more descriptors", (descriptors(bearerd.pid()) - before.1).to_string(), ""),
    ]
}

fn descriptors(pid: u32) -> i64 {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as i64
}
