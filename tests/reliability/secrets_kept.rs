//! No secret comes out, at the most talkative level, under load, whatever goes wrong (RELIABILITY T6, T7, T11, G15).

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::figures::{Row, held, row};
use crate::support::bulk;
use crate::support::client::Load;
use crate::support::setup::CLIENT_SECRET;
use crate::support::{
    BINARY, Bearerd, Reply, Request, Setup, TokenEndpoint, Tokens, Upstream, eventually, pause, seconds,
};
use crate::tests_of_it;

/// A user without rights, whom root can become.
const NOBODY: u32 = 65_534;
const KEY: &str = "callers-key-canary-51c0";

pub(crate) fn prove() -> Vec<Row> {
    let mut rows = at_trace_level();
    rows.extend(tests_of_it::pass(
        "secrets in every kind, in logs, in answers, in the command line",
        &[
            "secrets::",
            "logs::",
            "lifecycle::the_process_is_not_dumpable",
            "lifecycle::no_secret_stands_in_the_command_line",
            "configuration::check_fetches_a_token_and_never_shows_it",
            "callers::labels_never_hold_what_a_caller_sent",
            "support::canaries::",
        ],
        25,
    ));
    rows
}

fn at_trace_level() -> Vec<Row> {
    let what = "trace level, under load, as an ordinary user";
    let tokens = Tokens::new(20);
    let endpoint = TokenEndpoint::start(&tokens);
    let upstream = Upstream::start(&tokens);
    upstream.count_only();
    let refusing = refusing_endpoint(&tokens);
    let setup = setup(&endpoint, &refusing, &upstream);
    let mut bearerd = start_as_nobody(&setup);
    let key = |target: &str| Request::get(target).field("x-bearerd-key", KEY);
    let load = Load::start(bearerd.address(), 4, seconds(0.01), key("/items"));
    let more = Load::start(bearerd.address(), 2, seconds(0.02), key("/bulk/down"));
    for _ in 0..2 {
        pause(seconds(3.0));
        tokens.revoke_all();
    }
    let answers: Vec<String> = [
        Request::get("/items"),
        Request::get("/items").field("x-bearerd-key", "guessed"),
        Request::new("TRACE", "/items").field("x-bearerd-key", KEY),
        key("/items").field("Origin", "https://evil.example"),
        key("/down"),
        key("/broken"),
        key("/items").field("Transfer-Encoding", "gzip").field("Authorization", "Bearer of-the-caller"),
    ]
    .iter()
    .map(|request| request.send(bearerd.address()))
    .inspect(|answer| assert!(answer.status >= 400, "{}{}", answer.raw_head, answer.text()))
    .map(|answer| format!("{}{}", answer.raw_head, answer.text()))
    .collect();
    assert!(answers[5].contains("T0"), "of the credential that is refused: {}", answers[5]);
    let (items, bulk) = (load.stop(), more.stop());
    items.expect_all_ok();
    bulk.expect_all_ok();
    let pages: String = ["/metrics", "/status", "/readyz", "/livez", "/startupz", "/nothing", "/env.json"]
        .map(|page| Request::get(page).send(bearerd.admin()))
        .map(|answer| format!("{}{}", answer.raw_head, answer.text()))
        .concat();
    let words = std::fs::read(format!("/proc/{}/cmdline", bearerd.pid())).unwrap();
    let closed = closed_to_the_same_user(what, &bearerd, &setup);
    let log = bearerd.log();
    let mut rows = vec![row(
        format!("{what}: answers meanwhile, all 200; token requests; lines of log, MiB"),
        format!(
            "{}; {}; {}, {:.1}",
            items.total() + bulk.total(),
            endpoint.count(),
            log.len(),
            log.iter().map(String::len).sum::<usize>() as f64 / f64::from(1 << 20)
        ),
        "",
    )];
    assert!(log.iter().any(|line| line.contains("\"debug\"")), "more is written than usual");
    for (place, text) in [
        ("log", log.join("\n")),
        ("metrics, status and probes", pages),
        ("problem documents", answers.concat()),
        ("command line", String::from_utf8_lossy(&words).into_owned()),
    ] {
        let found = setup.canaries().found_in(&text);
        rows.push(held(
            format!("{what}: secrets in the {place} ({} KiB)", text.len() >> 10),
            found.clone().unwrap_or_else(|| "0".to_owned()),
            "0",
            found.is_none(),
        ));
    }
    rows.extend(closed);
    bearerd.signal(Signal::ABORT);
    eventually("it has ended", seconds(5.0), || bearerd.has_ended().is_some());
    let left = names(setup.directory()).into_iter().filter(|name| name.starts_with("core")).count();
    rows.push(held(format!("{what}: core files after SIGABRT"), left, "0", left == 0));
    rows
}

/// What a process of the same user may try.
fn closed_to_the_same_user(what: &str, bearerd: &Bearerd, setup: &Setup) -> Vec<Row> {
    let try_it = |tool: &str, path: &str| {
        let mut command = Command::new(tool);
        command.arg(format!("/proc/{}/{path}", bearerd.pid())).current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().expect("coreutils");
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let opened: Vec<&str> = [("cat", "environ"), ("cat", "mem"), ("cat", "maps"), ("cat", "auxv"), ("ls", "fd/")]
        .iter()
        .filter(|(tool, path)| {
            let (success, told) = try_it(tool, path);
            success || setup.canaries().found_in(&told).is_some() || !told.contains("ermission denied")
        })
        .map(|(_, path)| *path)
        .collect();
    // The attempt itself is one that succeeds where nothing forbids it.
    let (success, told) = try_it("cat", "status");
    assert!(success && told.contains("VmRSS"), "{told}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bearerd.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
    // The one in force; the highest allowed is left for the jobs of `bearerd exec`.
    let core = core.split_whitespace().nth(4).unwrap_or("unknown");
    vec![
        held(
            format!("{what}: environ, mem, maps, auxv and fd of the process, opened by the same user"),
            format!("{} {}", opened.len(), opened.join(" ")),
            "0",
            opened.is_empty(),
        ),
        held(format!("{what}: limit of core files"), core, "0", core == "0"),
    ]
}

/// An authorization server that refuses, and repeats what it was sent, as some do.
fn refusing_endpoint(tokens: &Tokens) -> TokenEndpoint {
    let endpoint = TokenEndpoint::start(tokens);
    endpoint.always(Reply::custom(|request, _| {
        let sent = format!("{} {} {}", request.text(), request.basic().unwrap_or_default(), "and more");
        let told = serde_json::json!({ "error": "invalid_client", "error_description": sent });
        Reply::json(401, told.to_string())
    }));
    endpoint
}

fn setup(endpoint: &TokenEndpoint, refusing: &TokenEndpoint, upstream: &Upstream) -> Setup {
    let http2 = bulk::serve_http2(1 << 10);
    let (url, token_url, refusing_url) = (upstream.url(), endpoint.url(), refusing.url());
    let text = format!(
        r#"
listen = "127.0.0.1:0"
admin = {{ listen = "127.0.0.1:0" }}
log = {{ format = "json", level = "trace", access = true }}
callers = {{ key = {{ file = "caller-key" }} }}

[routes.api]
upstream = "{url}"
credential = "api"
headers = {{ set = {{ x-extra = {{ env = "EXTRA" }} }} }}

[routes.bulk]
path = "/bulk"
strip_path = false
upstream = "http://{http2}"
upstream_protocol = "h2"
credential = "api"

[routes.down]
path = "/down"
upstream = "http://127.0.0.1:9"
credential = "api"

[routes.broken]
path = "/broken"
upstream = "{url}"
credential = "broken"

[credentials.api]
token_endpoint = "{token_url}"
client_id = "svc"
client_secret = {{ file = "client-secret" }}
username = "robot"
password = {{ env = "API_PASSWORD" }}
lockout = false
params = {{ company = {{ env = "COMPANY" }} }}
headers = {{ x-api-key = {{ file = "api-key" }} }}

[credentials.broken]
token_endpoint = "{refusing_url}"
client_id = "svc"
client_secret = "written-secret-canary-77aa"
params = {{ company = {{ env = "COMPANY" }} }}
required = false
"#
    );
    let setup = Setup::new(endpoint.canaries()).file(&text, &["api", "bulk", "down", "broken"]);
    setup.secret_file("client-secret", &format!("{CLIENT_SECRET}\n"));
    setup.secret_file("api-key", "api-key-canary-90ab\n");
    setup.secret_file("caller-key", &format!("{KEY}\n"));
    setup.canaries().add_basic("svc", CLIENT_SECRET);
    setup.canaries().add_basic("svc", "written-secret-canary-77aa");
    let secrets = [
        ("API_PASSWORD", "env-password-canary-2244"),
        ("COMPANY", "company-canary-8181"),
        ("EXTRA", "extra-field-canary-6363"),
    ];
    secrets.into_iter().fold(setup, |setup, (name, secret)| {
        setup.canaries().add(secret);
        setup.env(name, secret)
    })
}

/// Root sees through everything, so as root it runs as somebody else, who may read and write its directory.
fn start_as_nobody(setup: &Setup) -> Bearerd {
    if !rustix::process::geteuid().is_root() {
        return setup.start_ready();
    }
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(setup.directory(), 0o777);
    let binary = setup.directory().join("bearerd");
    let built = std::env::var_os("BEARERD_TEST_BINARY").unwrap_or_else(|| BINARY.into());
    std::fs::copy(built, &binary).unwrap();
    open(&binary, 0o755);
    setup.clone().binary(&binary).uid(NOBODY).start_ready()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}
