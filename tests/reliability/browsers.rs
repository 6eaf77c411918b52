//! What web pages can make a browser send, to the proxy and to the admin listener (RELIABILITY T2, G17).

use std::process::Command;

use crate::figures::{Row, held};
use crate::support::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, frame, request};
use crate::support::{Bearerd, Request, stage};
use crate::tests_of_it;

/// Names that a page may have, and that its browser then says. `421` is what they are told.
const HOSTS: &[&str] = &[
    "evil.example",
    "evil.example:8080",
    "EVIL.example.",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil-localhost",
    "notlocalhost:80",
    "php-proxy",
    "bearerd.default.svc.cluster.local",
    "metadata.internal",
    "0.0.0.0",
    "[::2]:8080",
    "169.254.169.254",
    "192.0.2.1:9180",
];

/// Marks of a request that a page of another site makes. `403` is what they are told.
const MARKS: &[&[(&str, &str)]] = &[
    &[("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "same-site")],
    &[("Sec-Fetch-Site", "Cross-Site")],
    &[("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")],
    &[("Sec-Fetch-Site", "")],
    &[("Origin", "https://evil.example")],
    &[("Origin", "null")],
    &[("Origin", "")],
    &[("Origin", "http://localhost.evil.example")],
    &[("Origin", "http://localhost:1")],
    &[("Origin", "http://evil.example@localhost")],
    &[("Origin", "file://")],
    &[("Origin", "chrome-extension://abcdefghijklmnop")],
    &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "same-origin")],
    &[("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")],
    &[("Origin", "https://evil.example"), ("Content-Type", "text/plain")],
];

const METHODS: &[&str] = &["GET", "POST", "OPTIONS"];

pub(crate) fn prove() -> Vec<Row> {
    let (_endpoint, upstream, setup) = stage(3_600);
    let bearerd = setup.section("[admin]\nlisten = \"127.0.0.1:0\"\nreload = true\nquit = true").start_ready();
    let mut rows = vec![refused("the proxy", &bearerd), over_http2(&bearerd), refused("the admin listener", &bearerd)];
    let count = upstream.count();
    rows.push(held("requests that reached the upstream meanwhile", count, "0", count == 0));
    let ended = bearerd.reloads("success") + bearerd.reloads("failure");
    rows.push(held("reloads and ends that a page has caused", ended, "0", ended == 0.0 && bearerd.is_ready()));
    rows.push(curl(&bearerd));
    rows.extend(tests_of_it::pass("who may call", &["callers::", "floods::a_request_that_can_be_read"], 14));
    rows
}

/// Every name and every mark with every method; nothing of an answer says that other sites may read it.
fn refused(listener: &str, bearerd: &Bearerd) -> Row {
    let is_admin = listener.contains("admin");
    let targets: &[&str] =
        if is_admin { &["/status", "/metrics", "/retry/api", "/reload", "/quitquitquit"] } else { &["/items"] };
    let address = if is_admin { bearerd.admin() } else { bearerd.address() };
    let (mut cases, mut wrong) = (0, Vec::new());
    let mut check = |request: Request, wanted: u16| {
        cases += 1;
        let answer = request.send(address);
        let is_open = answer.fields.0.iter().any(|(name, _)| name.to_lowercase().starts_with("access-control-"));
        if answer.status != wanted || is_open {
            wrong.push(format!("{request:?}: {}{}", answer.raw_head, answer.text()));
        }
    };
    for target in targets {
        for method in METHODS {
            for host in HOSTS {
                check(Request::new(method, target).field("Host", host), 421);
            }
            for marks in MARKS {
                let request = Request::new(method, target);
                check(marks.iter().fold(request, |request, (name, value)| request.field(name, value)), 403);
            }
        }
    }
    wrong.iter().take(5).for_each(|wrong| eprintln!("{listener}: {wrong}"));
    held(
        format!("{listener}: {} names and {} marks, {cases} requests: let in", HOSTS.len(), MARKS.len()),
        wrong.len(),
        "0 of at least 24 cases",
        wrong.is_empty() && cases >= 24,
    )
}

fn over_http2(bearerd: &Bearerd) -> Row {
    let (mut cases, mut wrong) = (0, Vec::new());
    let mut check = |fields: Vec<u8>, wanted: &str, what: String| {
        cases += 1;
        let ask = || {
            let mut frames = Frames::connect(bearerd.address())?;
            frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, fields))?;
            frames.outcome(1)
        };
        let outcome = ask().unwrap_or_else(|error: std::io::Error| error.to_string());
        if outcome != wanted {
            wrong.push(format!("{what}: {outcome}"));
        }
    };
    let own = bearerd.address().to_string();
    for host in HOSTS {
        check(request("GET", "/items", host, &[]), "421", (*host).to_owned());
    }
    for marks in MARKS {
        let lower: Vec<(String, &str)> = marks.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
        let fields: Vec<(&str, &str)> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        check(request("GET", "/items", &own, &fields), "403", format!("{marks:?}"));
    }
    wrong.iter().take(5).for_each(|wrong| eprintln!("HTTP/2: {wrong}"));
    held(format!("the proxy over HTTP/2: {cases} requests: let in"), wrong.len(), "0", wrong.is_empty())
}

/// Who is no browser sets none of these.
fn curl(bearerd: &Bearerd) -> Row {
    let urls = [
        format!("http://{}/items", bearerd.address()),
        format!("http://localhost:{}/items", bearerd.address().port()),
        format!("http://{}/status", bearerd.admin()),
        format!("http://{}/metrics", bearerd.admin()),
    ];
    let served = urls
        .iter()
        .filter(|url| {
            let arguments = ["-sS", "--noproxy", "*", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", url];
            let output = Command::new("curl").args(arguments).output().expect("curl is installed");
            output.stdout == b"200"
        })
        .count();
    held("curl without such fields: served", format!("{served} of {}", urls.len()), "all", served == urls.len())
}
