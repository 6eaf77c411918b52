//! Real callers that nobody here wrote: curl, Python's `requests` and `http.client`, Node's `fetch`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::peers::{installed, skip_unless, venv_python};
use crate::support::{Bearerd, Setup, TokenEndpoint, Upstream, stage};

/// What a client does in its language; it must print `ok` as its last line.
fn run(command: &mut Command, script: &str) -> String {
    let output = command.arg(script).env_remove("http_proxy").env_remove("HTTP_PROXY").output().expect("it starts");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The usual three, with the token revoked, so that every client's first request is healed on its way.
fn revoked() -> (TokenEndpoint, Upstream, Bearerd, Setup) {
    let (endpoint, upstream, setup) = stage(300);
    let bearerd = setup.start_ready();
    endpoint.tokens().revoke_all();
    (endpoint, upstream, bearerd, setup)
}

fn big_file(setup: &Setup, size: usize) -> PathBuf {
    let path = setup.directory().join("big");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&vec![b'q'; size]).unwrap();
    path
}

fn curl(arguments: &[&str]) -> (i32, String) {
    let output = Command::new("curl").args(["-sS", "-i", "--noproxy", "*", "-m", "20"]).args(arguments).output();
    let output = output.expect("curl is installed");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), told)
}

#[test]
fn curl_is_served() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, bearerd, _setup) = revoked();
    let url = format!("http://localhost:{}/items?x=1", bearerd.address().port());
    let (code, told) = curl(&["-H", "Authorization: Bearer mine", &url]);
    assert!(code == 0 && told.starts_with("HTTP/1.1 200"), "{told}");
    assert_eq!(upstream.requests().pop().unwrap().head.fields.all("authorization").len(), 1);
    let (code, told) = curl(&["-0", "-d", "x=1", &url]);
    assert!(code == 0 && told.starts_with("HTTP/1.0 200"), "{told}");
    assert!(told.contains("\"length\":3") && !told.to_lowercase().contains("transfer-encoding"), "{told}");
    let (code, told) = curl(&["-I", &url]);
    assert!(code == 0 && told.starts_with("HTTP/1.1 200"), "{told}");
    let (code, told) = curl(&["-X", "TRACE", &url]);
    assert!(code == 0 && told.starts_with("HTTP/1.1 405"), "{told}");
}

#[test]
fn curl_uploads_after_100_continue() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    // curl asks with Expect for bodies over 1 MiB; the upstream wants to see the token first.
    let (endpoint, upstream, bearerd, setup) = revoked();
    let file = big_file(&setup, 3 << 20);
    let url = format!("http://{}/upload", bearerd.address());
    let data = format!("@{}", file.display());
    let upload = ["-H", "Expect: 100-continue", "--expect100-timeout", "5", "--data-binary", &data, &url];
    // Too long to be kept, but nothing of it was asked for yet: either outcome is honest, a lost answer is not.
    let (code, told) = curl(&upload);
    assert!(code == 0 && (told.contains("HTTP/1.1 200") || told.contains("HTTP/1.1 401")), "{told}");
    endpoint.wait_for(2, 3.0);
    let (code, told) = curl(&upload);
    assert!(code == 0 && told.contains("HTTP/1.1 200"), "{told}");
    assert_eq!(upstream.requests().pop().unwrap().body.len(), 3 << 20);
}

#[test]
fn curl_uploads_a_small_body_that_is_replayed() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, upstream, bearerd, setup) = revoked();
    let file = big_file(&setup, 50_000);
    let url = format!("http://{}/upload", bearerd.address());
    for arguments in [
        vec!["-H", "Expect: 100-continue", "-T", file.to_str().unwrap(), &url],
        vec!["-H", "Transfer-Encoding: chunked", "-T", file.to_str().unwrap(), &url],
    ] {
        let (code, told) = curl(&arguments);
        assert!(code == 0 && told.contains("HTTP/1.1 200"), "{told}");
        assert_eq!(upstream.requests().pop().unwrap().body.len(), 50_000);
        _endpoint.tokens().revoke_all();
    }
}

#[test]
fn curl_says_what_is_wrong_when_bearerd_is_asked_for_the_wrong_host() {
    if skip_unless(installed("curl"), "curl") {
        return;
    }
    let (_endpoint, _upstream, bearerd, _setup) = revoked();
    let url = format!("http://{}/items", bearerd.address());
    let (_, told) = curl(&["-H", "Host: php-proxy", &url]);
    assert!(told.contains("421") && told.contains("C003") && told.contains("php-proxy"), "{told}");
}

#[test]
fn python_http_client_is_served() {
    if skip_unless(installed("python3"), "python3") {
        return;
    }
    let (_endpoint, upstream, bearerd, _setup) = revoked();
    let script = format!(
        r#"
import http.client, json
c = http.client.HTTPConnection("127.0.0.1", {port}, timeout=20)
for n in range(20):
    c.request("POST", f"/items/{{n}}", body=b"x" * 1000 * n, headers={{"Authorization": "Bearer mine"}})
    r = c.getresponse()
    body = r.read()
    assert r.status == 200, (r.status, body)
    assert json.loads(body)["length"] == 1000 * n, body
def chunks():
    for n in range(5):
        yield b"part" * n
c.request("PUT", "/chunked", body=chunks(), encode_chunked=True)
r = c.getresponse(); assert (r.status, json.loads(r.read())["length"]) == (200, 40)
c.request("HEAD", "/head"); r = c.getresponse(); assert (r.status, r.read()) == (200, b"")
c.request("GET", "/items", headers={{"Host": "evil.example"}})
r = c.getresponse(); assert r.status == 421 and "C003" in r.reason, (r.status, r.reason)
print("ok")
"#,
        port = bearerd.address().port()
    );
    assert_eq!(run(Command::new("python3").arg("-c"), &script).trim(), "ok");
    assert_eq!(upstream.requests_for("/chunked").len(), 1);
}

#[test]
fn python_requests_is_served() {
    let python = venv_python();
    let has_requests = |python: &Path| {
        Command::new(python).args(["-c", "import requests"]).output().is_ok_and(|output| output.status.success())
    };
    if skip_unless(has_requests(&python), "Python's requests") {
        return;
    }
    let (_endpoint, _upstream, bearerd, setup) = revoked();
    let file = big_file(&setup, 5 << 20);
    let script = format!(
        r#"
import requests, threading
base = "http://localhost:{port}"
s = requests.Session(); s.trust_env = False
assert s.get(base + "/items", params={{"q": "a b"}}, auth=("me", "me")).json()["target"] == "/items?q=a+b"
assert s.post(base + "/json", json={{"a": 1}}).json()["length"] == 8
with open({file:?}, "rb") as f:
    assert s.post(base + "/big", data=f).json()["length"] == 5 << 20
def parts():
    for _ in range(10):
        yield b"z" * 1000
assert s.post(base + "/stream", data=parts()).json()["length"] == 10000
r = s.get(base + "/items", headers={{"Origin": "https://evil.example"}})
assert (r.status_code, r.headers["content-type"], r.json()["code"]) == (403, "application/problem+json", "C002")
failed = []
def caller():
    mine = requests.Session(); mine.trust_env = False
    for n in range(20):
        if mine.get(base + f"/items/{{n}}").status_code != 200: failed.append(n)
threads = [threading.Thread(target=caller) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not failed, failed
print("ok")
"#,
        port = bearerd.address().port(),
        file = file.to_str().unwrap()
    );
    assert_eq!(run(Command::new(python).arg("-c"), &script).trim(), "ok");
}

#[test]
fn node_fetch_is_served() {
    if skip_unless(installed("node"), "node") {
        return;
    }
    let (_endpoint, upstream, bearerd, _setup) = revoked();
    upstream.on("/events", |exchange| {
        exchange
            .wire
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for n in 0..3 {
            exchange.wire.send(crate::support::wire::chunk(format!("data: {n}\n\n")))?;
        }
        exchange.wire.send("0\r\n\r\n").map(|()| crate::support::After::KeepAlive)
    });
    // Node's fetch says Sec-Fetch-Mode itself, but no Sec-Fetch-Site: it is no browser.
    let script = format!(
        r#"
const base = "http://localhost:{port}";
const ok = (condition, what) => {{ if (!condition) {{ console.error(what); process.exit(1); }} }};
(async () => {{
  const first = await fetch(base + "/items?x=1", {{ headers: {{ authorization: "Bearer mine" }} }});
  ok(first.status === 200 && (await first.json()).target === "/items?x=1", "get");
  const post = await fetch(base + "/post", {{ method: "POST", body: "x".repeat(30000) }});
  ok((await post.json()).length === 30000, "post");
  const stream = new ReadableStream({{ start(c) {{ for (let n = 0; n < 5; n++) c.enqueue(Buffer.from("part")); c.close(); }} }});
  const up = await fetch(base + "/stream", {{ method: "POST", body: stream, duplex: "half" }});
  ok((await up.json()).length === 20, "stream");
  let text = "";
  for await (const part of (await fetch(base + "/events")).body) text += Buffer.from(part).toString();
  ok(text === "data: 0\n\ndata: 1\n\ndata: 2\n\n", text);
  const many = await Promise.all(Array.from({{ length: 50 }}, (_, n) => fetch(base + "/items/" + n)));
  ok(many.every((answer) => answer.status === 200), "many");
  await Promise.all(many.map((answer) => answer.arrayBuffer()));
  console.log("ok");
  process.exit(0);
}})().catch((error) => {{ console.error(error); process.exit(1); }});
"#,
        port = bearerd.address().port()
    );
    assert_eq!(run(Command::new("node").arg("-e"), &script).trim(), "ok");
}
