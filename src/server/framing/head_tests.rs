use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body::Body as _;
use hyper::service::service_fn;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1024;

fn read(head: &[u8]) -> Result<Option<Head>, Refusal> {
    HeadReader::new(LIMIT).read(head)
}

/// The reason for which a head is refused; `None` if it is not.
fn refusal(head: impl AsRef<[u8]>) -> Option<Reason> {
    read(head.as_ref()).err().map(|refusal| refusal.reason)
}

#[test]
fn a_head_says_how_long_its_body_is() {
    let check = |head: &str, body: BodyLength| {
        let behind = format!("{head}GET /smuggled HTTP/1.1\r\n\r\n");
        assert_eq!(read(behind.as_bytes()), Ok(Some(Head { length: head.len(), body })), "{head:?}");
        for end in 0..head.len() {
            assert_eq!(read(&head.as_bytes()[..end]), Ok(None), "{:?}", &head[..end]);
        }
    };
    let none = BodyLength::Known(0);
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", none);
    check("GET / HTTP/1.0\r\n\r\n", none);
    check("GET / HTTP/1.0\nA: b\n\n", none);
    check("GET / HTTP/1.1\nHost: a\r\n\n", none);
    check("get /a?b HTTP/1.1\r\nhost:\r\n\r\n", none);
    check("M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n", none);
    check("GET http://a:80/b HTTP/1.1\r\nHost: a\r\n\r\n", none);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", none);
    check("POST / HTTP/1.1\r\nHost: a\r\ncontent-length:\t 0012 \r\n\r\n", BodyLength::Known(12));
    check("POST / HTTP/1.0\r\nContent-Length: 9223372036854775807\r\n\r\n", BodyLength::Known(u64::MAX >> 1));
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n", BodyLength::Chunked);
    check("POST / HTTP/1.1\r\nContent_Length: x\r\nHost: a\r\nX-Transfer-Encoding: y\r\n\r\n", none);
}

#[test]
fn two_sayings_about_the_body_are_refused() {
    for fields in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nCONTENT-LENGTH: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,",
        "Content-Length:",
        "Content-Length: \t",
        "Content-Length: +2",
        "Content-Length: -1",
        "Content-Length: 0x2",
        "Content-Length: 2.0",
        "Content-Length: 2 3",
        "Content-Length: \"2\"",
        "Content-Length: 1_0",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 18446744073709551615",
        "Content-Length: \u{660}",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunk",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding:",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Host: a",
        "host: b",
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(refusal(&head), Some(Reason::BadRequest), "{head:?}");
    }
    assert_eq!(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(Reason::BadRequest));
    assert_eq!(refusal("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Some(Reason::BadRequest));
    assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), Some(Reason::BadRequest));
    assert_eq!(refusal("GET http://a/ HTTP/1.1\r\n\r\n"), Some(Reason::BadRequest));
}

#[test]
fn what_is_no_request_line_is_refused() {
    for line in [
        "GET /",
        "GET",
        "/",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\rX: y",
        "GET / HTTP/9.9",
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / HTTP/1.10",
        "GET / HTTP/1",
        "GET / HTTP/01.1",
        "GET / http/1.1",
        "GET / HTTPS/1.1",
        "GET / HTP/1.1",
        "GET / ",
        "PRI * HTTP/2.0",
        "G(T / HTTP/1.1",
        "G\"T / HTTP/1.1",
        "GÉT / HTTP/1.1",
        "GET: / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET @evil.test/ HTTP/1.1",
        "GET .evil.test/ HTTP/1.1",
        "GET :80@evil.test/ HTTP/1.1",
        "GET \\\\evil HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET ** HTTP/1.1",
        "\x16\x03\x01",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(refusal(&head), Some(Reason::BadRequest), "{head:?}");
    }
    assert_eq!(refusal("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), Some(Reason::MethodNotAllowed));
    let tls = read(b"\x16\x03\x01\x02\x00\x01").unwrap_err();
    assert!(tls.detail.contains("TLS"), "{tls:?}");
}

#[test]
fn fields_are_checked_to_the_last() {
    for field in [
        "a b: c",
        ": c",
        "a",
        "a: b\r\n c",
        "a: b\r\n\tc",
        "a: b\rc: d",
        "a: \0",
        "a: \x0b",
        "a: \x7f",
        "a\0: b",
        "ä: b",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
        assert_eq!(refusal(&head), Some(Reason::BadRequest), "{head:?}");
    }
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\r\n\rX"), None);
    assert_eq!(refusal("GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n"), Some(Reason::BadRequest));
}

#[test]
fn a_head_that_is_too_long_or_has_too_many_fields_is_refused_as_that() {
    let padded = |length: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - frame))
    };
    assert!(read(padded(LIMIT).as_bytes()).unwrap().is_some());
    assert_eq!(refusal(padded(LIMIT + 1)), Some(Reason::HeadTooLarge));
    assert_eq!(refusal(&padded(LIMIT + 1)[..LIMIT]), Some(Reason::HeadTooLarge));
    assert_eq!(refusal(&padded(LIMIT + 1)[..LIMIT - 1]), None);
    assert_eq!(refusal("x".repeat(LIMIT)), Some(Reason::HeadTooLarge));
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a:b\r\n".repeat(count - 1));
    assert!(read(fields(100).as_bytes()).unwrap().is_some());
    assert_eq!(refusal(fields(101)), Some(Reason::HeadTooLarge));
}

/// What hyper, without us, makes of a head: method, target, number of fields, length of the body.
fn read_by_hyper(head: &[u8]) -> Option<(String, String, usize, Option<u64>)> {
    let told = Arc::new(Mutex::new(None));
    let teller = Arc::clone(&told);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let shown = request.uri().to_string();
        let length = request.body().size_hint().exact();
        let fields = request.headers().len();
        *teller.lock().unwrap() = Some((request.method().to_string(), shown, fields, length));
        std::future::pending::<Result<http::Response<String>, Infallible>>()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut caller, ours) = tokio::io::duplex(64 * 1024);
        tokio::io::AsyncWriteExt::write_all(&mut caller, head).await.unwrap();
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(ours), service);
        tokio::select! {
            biased;
            _ = connection => (),
            () = async { for _ in 0..3 { tokio::task::yield_now().await } } => (),
        }
    });
    told.lock().unwrap().take()
}

fn piece() -> impl Strategy<Value = String> {
    let good = prop::sample::select(vec![
        "GET ",
        "POST ",
        "HEAD ",
        "X-Y ",
        "/ ",
        "/a?b=c ",
        "* ",
        "http://a/b ",
        "https://[::1]:8 ",
        "HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\r\n",
        "\n",
        "Host: a\r\n",
        "Host: a\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: y\r\n",
        ": ",
        "\t",
        "x",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Upgrade: websocket\r\n",
    ]);
    prop_oneof![8 => good.prop_map(str::to_owned), 1 => ".{0,3}", 1 => "[ -~]{0,5}"]
}

fn head() -> impl Strategy<Value = String> {
    let line = (
        "(GET|POST|[A-Z]{1,3})",
        "(/|\\*|/[!-~]{0,8}|https?://[a-z.]{1,4}(:[0-9]{0,3})?(/[!-~]{0,4})?)",
        "HTTP/1\\.[01]",
    );
    let line = line.prop_map(|(method, target, version)| format!("{method} {target} {version}\r\n"));
    let field = prop_oneof![
        3 => Just("Host: a\r\n".to_owned()),
        2 => "(Content-Length|Transfer-Encoding|Expect|Connection): ?(chunked|[0-9]{1,3}|close|100-continue)?\r?\n",
        3 => "[!-~]{0,6}:[ -~\u{a0}-\u{ff}]{0,6}\r\n",
    ];
    let fields = prop::collection::vec(field, 0..6).prop_map(|fields| fields.concat());
    (line, fields).prop_map(|(line, fields)| format!("{line}{fields}\r\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn hyper_reads_whatever_passes_in_the_same_way(head in prop_oneof![head(), prop::collection::vec(piece(), 0..14).prop_map(|p| p.concat())]) {
        if let Ok(Some(read)) = read(head.as_bytes()) {
            let head = &head.as_bytes()[..read.length];
            let length = match read.body {
                BodyLength::Known(length) => Some(length),
                BodyLength::Chunked => None,
            };
            let lines = head.split(|byte| *byte == b'\n').count() - 3;
            let by_hyper = read_by_hyper(head);
            prop_assert!(by_hyper.is_some(), "{}", head.escape_ascii());
            let (method, _, fields, its_length) = by_hyper.unwrap();
            prop_assert_eq!(method.as_bytes(), head.split(|byte| *byte == b' ').next().unwrap());
            prop_assert_eq!(fields, lines, "{}", head.escape_ascii());
            prop_assert_eq!(its_length, length, "{}", head.escape_ascii());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_change_its_mind(
        bytes in prop::collection::vec(any::<u8>(), 0..200), good in prop::bool::ANY, cut in 0..300_usize
    ) {
        let mut all = if good { b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec() } else { Vec::new() };
        all.extend(bytes);
        let whole = read(&all);
        let mut reader = HeadReader::new(LIMIT);
        let first = reader.read(&all[..cut.min(all.len())]);
        let split = if matches!(first, Ok(None)) { reader.read(&all) } else { first };
        prop_assert_eq!(split, whole);
    }
}
