//! Python's `http.server` as an upstream: the plainest server there is, HTTP/1.0 by default.

use super::{before, curl, file_of_noise, noise};
use crate::support::peers::{Peer, installed, skip_unless};
use crate::support::{Bearerd, Request, TokenEndpoint};

fn stage(version: &str) -> Option<(Peer, TokenEndpoint, Bearerd)> {
    if skip_unless(installed("python3"), "python3") || skip_unless(installed("curl"), "curl") {
        return None;
    }
    let server = Peer::start("plain.py", &[version]);
    let (endpoint, setup) = before(&format!("http://{}", server.address()));
    let bearerd = setup.start_ready();
    Some((server, endpoint, bearerd))
}

#[test]
fn a_plain_python_server_is_an_upstream_in_both_versions_of_http_1() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let Some((_server, endpoint, bearerd)) = stage(version) else { return };
        // It rejects the first token that it sees.
        for n in 0..20 {
            let answer = bearerd.get(&format!("/items/{n}")).expect(200);
            assert_eq!(answer.json()["target"], format!("/items/{n}"), "{version}");
            let answer = bearerd.send(&Request::post("/items", "x".repeat(n * 1000))).expect(200);
            assert_eq!(answer.json()["length"], n * 1000, "{version}");
        }
        assert_eq!((endpoint.count(), bearerd.rejections("replayed")), (2, 1.0), "{version}");
        let head = bearerd.send(&Request::new("HEAD", "/items")).expect(200);
        assert!(head.body.is_empty() && head.field("content-length") != Some("0"), "{version}: {}", head.raw_head);
        let page = bearerd.send(&Request::new("PATCH", "/items")).expect(501).text();
        assert!(page.contains("Unsupported method"), "{version}: {page}");
    }
}

#[test]
fn large_bodies_pass_whole_from_and_to_a_plain_python_server() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let Some((_server, _endpoint, bearerd)) = stage(version) else { return };
        bearerd.get("/items").expect(200);
        let directory = tempfile::tempdir().unwrap();
        let file = file_of_noise(directory.path(), 10 << 20);
        let data = format!("@{}", file.display());
        let url = format!("http://{}/echo", bearerd.address());
        for arguments in
            [&["-0"][..], &["--http1.1"], &["--http1.1", "-H", "Expect: 100-continue"], &["--http2-prior-knowledge"]]
        {
            let (status, body) = curl(&[arguments, &["--data-binary", &data, &url]].concat());
            assert!(
                status == 200 && body == noise(10 << 20),
                "{version} {arguments:?}: {status}, {} bytes",
                body.len()
            );
        }
        // It knows nothing of chunks, answers before it has read them, and closes.
        let (status, body) = curl(&["-H", "Transfer-Encoding: chunked", "--data-binary", &data, &url]);
        assert_eq!((status, &*String::from_utf8_lossy(&body)), (411, "no length\n"), "{version}");
    }
}
