use std::cell::RefCell;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use super::super::CallerBody;
use super::super::connection::{Answer, ConnectionInfo, Ends, Handler, serve};
use super::end::LINGER_PAUSE;
use super::*;
use crate::shutdown;

fn settings() -> Settings {
    let (request_head, keep_alive) = (Some(Duration::from_secs(10)), Some(Duration::from_secs(60)));
    let response_unread = Some(Duration::from_secs(60));
    Settings { request_head, keep_alive, response_unread, head: 1024, connections: 1, owners: false }
}

/// Answers with what it was asked; says `refused CODE` for what was refused. Keeps a list of its requests.
#[derive(Default)]
struct Teller(RefCell<Vec<String>>);

impl Handler for Teller {
    type Body = Full<Bytes>;

    async fn handle(&self, _: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(500)).await;
        }
        if parts.uri.path() == "/half" {
            let mut body = body;
            let _ = body.frame().await;
            if parts.uri.query() == Some("give-up") {
                body.give_up();
            }
            return Response::new(Full::default()).into();
        }
        let length = match body.collect().await {
            Ok(body) => body.to_bytes().len().to_string(),
            Err(error) => error.refusal().map_or("broken off".to_owned(), |refusal| refusal.reason.to_string()),
        };
        let told = format!("[{} {} {length}]", parts.method, parts.uri);
        self.0.borrow_mut().push(told.clone());
        let padding = if parts.uri.path() == "/big" { 100_000 } else { 0 };
        Response::new(Full::new(Bytes::from(told + &" ".repeat(padding)))).into()
    }

    fn refuse(&self, _: &ConnectionInfo, refusal: Refusal, head_only: bool) -> Bytes {
        Bytes::from(format!("refused {}{}", refusal.reason, if head_only { " head" } else { "" }))
    }
}

fn when(draining: shutdown::Shutdown) -> Ends {
    Ends { leaving: draining.clone(), draining }
}

fn info() -> ConnectionInfo {
    let address = ([127, 0, 0, 1], 1).into();
    let peer = super::super::Peer::Tcp { peer: address, local: address, owner: None };
    ConnectionInfo { peer, loopback_listener: true, group: 0, secure: false, names: None }
}

/// Serves what `caller` sends until either side ends it; returns what was answered, and the requests that were served.
async fn talk(caller: impl AsyncFnOnce(&mut DuplexStream)) -> (String, Vec<String>) {
    let (mut theirs, ours) = tokio::io::duplex(16 * 1024);
    let teller = Rc::new(Teller::default());
    let (_draining, is_draining) = shutdown::channel();
    let serving = serve(Framed::new(ours, settings()), info(), Rc::clone(&teller), when(is_draining));
    let calling = async {
        caller(&mut theirs).await;
        let mut answer = Vec::new();
        let _ = theirs.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    };
    let ((), answer) = tokio::join!(serving, calling);
    let requests = teller.0.borrow().clone();
    (answer, requests)
}

/// Sends these pieces, each after the last one was taken.
async fn send(pieces: &[&str]) -> (String, Vec<String>) {
    talk(async |caller| {
        for piece in pieces {
            // A refused caller may find the connection closed.
            let _ = caller.write_all(piece.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn requests_are_served_one_after_the_other_however_they_arrive() {
    let all = format!(
        "{GET}POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n{}{GET}{LAST}",
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n"
    );
    let wanted = ["[GET /a 0]", "[POST /b 5]", "[POST /c 5]", "[GET /a 0]", "[GET /last 0]"];
    for size in [1, 2, 3, 7, 50, 1000] {
        let pieces: Vec<&str> = all.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
        let (answer, requests) = send(&pieces).await;
        assert_eq!(requests, wanted, "pieces of {size}");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), wanted.len());
        assert!(!answer.contains("refused"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_follows_the_answers_before_it_and_ends_the_connection() {
    let bad = "GET /bad HTTP/1.1\r\n\r\n";
    for pieces in [
        &[bad][..],
        &[GET, bad],
        &[&format!("{GET}{bad}{GET}")],
        &[&format!("{GET}{GET}{}", &bad[..10]), &bad[10..]],
        &[&format!("GET /big HTTP/1.1\r\nHost: a\r\n\r\n{bad}")],
    ] {
        let (answer, requests) = send(pieces).await;
        assert!(answer.ends_with("refused C005"), "{answer}");
        assert_eq!(answer.matches("refused").count(), 1);
        assert_eq!(answer.matches("HTTP/1.1 200").count(), requests.len(), "{answer}");
        assert!(!requests.iter().any(|request| request.contains("bad")), "{requests:?}");
        let is_big = requests.iter().any(|request| request.contains("big"));
        assert_eq!(answer.matches(' ').count() > 100_000, is_big, "every answer is whole");
    }
    let (answer, _) = send(&["HEAD / HTTP/1.1\r\n\r\n"]).await;
    assert_eq!(answer, "refused C005 head");
}

#[tokio::test(start_paused = true)]
async fn a_broken_body_is_refused_before_its_request_is_seen_or_told_to_who_reads_it() {
    let head = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (answer, requests) = send(&[&format!("{head}5\r\nhello\r\n0x2\r\n")]).await;
    assert_eq!((answer.as_str(), requests.len()), ("refused C005", 0));
    let (answer, requests) = send(&[head, "5\r\nhello\r\n", "0x2\r\n\r\n", GET]).await;
    assert_eq!(requests, ["[POST /p C005]"]);
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let (_, requests) = send(&[&format!("{head}0\r\n\r\n{GET}{LAST}")]).await;
    assert_eq!(requests.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_fell_silent_in_a_body_is_not_waited_for_twice() {
    let half = |query: &str| format!("POST /half?{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    for (query, waited) in [("", LINGER_PAUSE), ("give-up", Duration::ZERO)] {
        let started = Instant::now();
        let (answer, _) = send(&[&half(query)]).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(started.elapsed().as_secs(), waited.as_secs(), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_silently_after_keep_alive() {
    for pieces in [&[][..], &["\r\n", "\n", "\r"][..2], &[GET], &[GET, "\r\n"]] {
        let began = Instant::now();
        let (answer, requests) = send(pieces).await;
        assert_eq!(began.elapsed().as_secs(), 60, "{pieces:?}");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), requests.len());
        assert!(!answer.contains("refused"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_refused_ten_seconds_after_its_first_byte() {
    for before in ["", GET] {
        let began = Instant::now();
        let (answer, _) = talk(async |caller| {
            caller.write_all(before.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            for byte in LAST.as_bytes() {
                if caller.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
        assert!(answer.ends_with("refused C011"), "{answer}");
        assert!((15..=16).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn no_deadline_applies_while_a_request_is_served_and_one_does_afterwards() {
    let began = Instant::now();
    let (answer, _) = send(&["GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"]).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1);
    assert_eq!(began.elapsed().as_secs(), 560);
    let began = Instant::now();
    let (answer, requests) = send(&["GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HT"]).await;
    assert!(answer.ends_with("refused C011") && requests.len() == 1, "{answer}");
    assert_eq!(began.elapsed().as_secs(), 510);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_ends_its_request() {
    // Some callers say an empty line more than they have declared (RFC 9112 §2.2).
    for surplus in ["", "\r\n", "\r\n\r\n"] {
        let (mut theirs, ours) = tokio::io::duplex(1024);
        let (_draining, is_draining) = shutdown::channel();
        let began = Instant::now();
        theirs.write_all(format!("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n{surplus}").as_bytes()).await.unwrap();
        let hang_up = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(theirs);
        };
        let teller = Rc::new(Teller::default());
        tokio::join!(serve(Framed::new(ours, settings()), info(), teller, when(is_draining)), hang_up);
        assert_eq!(began.elapsed().as_secs(), 3, "{surplus:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_caller_may_go_on_sending_for_a_while() {
    let began = Instant::now();
    let (answer, _) = talk(async |caller| {
        caller.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            caller.write_all(&[b'x'; 20_000]).await.unwrap();
        }
    })
    .await;
    assert_eq!(answer, "refused C005");
    assert!(began.elapsed().as_secs() >= 16, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_was_just_served_may_ask_once_more_when_we_leave_and_not_when_its_connection_must_end() {
    // How long before the end it was served, how long after it asks again, whether we leave; requests served, how long it all takes.
    for (before, after, leaves, wanted, took) in [
        (10, 100, true, 2, 110),
        (10, 300, true, 1, 250),
        (2000, 5, true, 2, 2005),
        (2000, 20, true, 1, 2010),
        (10, 5, false, 1, 10),
    ] {
        let (mut theirs, ours) = tokio::io::duplex(1024);
        let (ending, is_ending) = shutdown::channel();
        let (_staying, is_staying) = shutdown::channel();
        let teller = Rc::new(Teller::default());
        let calling = async {
            theirs.write_all(GET.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(before)).await;
            ending.fire();
            tokio::time::sleep(Duration::from_millis(after)).await;
            let _ = theirs.write_all(GET.as_bytes()).await;
            let _ = theirs.read_to_string(&mut String::new()).await;
        };
        let began = Instant::now();
        let ends = Ends { leaving: if leaves { is_ending.clone() } else { is_staying }, draining: is_ending };
        let served = async {
            serve(Framed::new(ours, settings()), info(), Rc::clone(&teller), ends).await;
            began.elapsed().as_millis()
        };
        let (ended, ()) = tokio::join!(served, calling);
        assert_eq!(teller.0.borrow().len(), wanted, "{before} {after} {leaves}");
        assert!((took..took + 10).contains(&ended), "{before} {after} {leaves}: {ended} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_serves_who_has_begun_or_just_connected_and_ends_an_idle_connection() {
    // What was sent, how long before the drain, how long until the rest follows; whether it is served, how long it all takes.
    for (sent, before, after, wanted, took) in [
        (&GET[..5], 10, 10, 1, 20),
        ("", 10, 10, 1, 20),
        ("", 10, 900, 1, 910),
        ("", 10, 5000, 0, 1010),
        ("", 2000, 5000, 0, 2010),
    ] {
        let (mut theirs, ours) = tokio::io::duplex(1024);
        let (draining, is_draining) = shutdown::channel();
        let teller = Rc::new(Teller::default());
        let calling = async {
            theirs.write_all(sent.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(before)).await;
            draining.fire();
            tokio::time::sleep(Duration::from_millis(after)).await;
            let _ = theirs.write_all(&GET.as_bytes()[sent.len()..]).await;
            let _ = theirs.read_to_string(&mut String::new()).await;
        };
        let began = Instant::now();
        let served = async {
            serve(Framed::new(ours, settings()), info(), Rc::clone(&teller), when(is_draining)).await;
            began.elapsed().as_millis()
        };
        let (ended, ()) = tokio::join!(served, calling);
        assert_eq!(teller.0.borrow().len(), wanted, "{sent:?} {before} {after}");
        assert!((took..took + 10).contains(&ended), "{sent:?} {before} {after}: {ended} ms");
    }
}

/// Where requests end in what came in these pieces, and why it ends.
fn ends(pieces: &[&[u8]]) -> (Vec<usize>, Option<Refusal>) {
    let mut message = Message::new(1024);
    let (mut ends, mut held, mut passed) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let blank = message.blank(&held);
            held.drain(..blank);
            let granted = match message.judge(&held, 1024) {
                Ok(judged) => judged.granted,
                Err(refusal) => return (ends, Some(refusal)),
            };
            held.drain(..granted);
            passed += blank + granted;
            if !message.is_over() {
                break;
            }
            ends.push(passed);
            message = Message::new(1024);
        }
    }
    (ends, None)
}

#[tokio::test]
async fn a_long_head_is_read_in_turns_and_a_short_one_at_once() {
    let all = async {
        let steps = Rc::new(Steps::default());
        // Until there is nothing left of this turn.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(step) = steps.poll_step(&cx) {
            drop(step);
        }
        let open = async |filling: usize| {
            let (mut theirs, ours) = tokio::io::duplex(16 * 1024);
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(filling));
            theirs.write_all(head.as_bytes()).await.unwrap();
            let framed = Framed::new(ours, Settings { head: 16 * 1024, ..settings() });
            (theirs, framed.in_turns(&steps))
        };
        let (_caller, mut short) = open(100).await;
        assert!(matches!(short.poll_opened(false, &mut cx), Poll::Ready(Ok(Opened::Http1))));
        let (_caller, mut long) = open(3 * LEAST_ROOM).await;
        assert!(long.poll_opened(false, &mut cx).is_pending(), "others were not let go first");
        assert_eq!(long.held.len(), LEAST_ROOM);
        assert_eq!(std::future::poll_fn(|cx| long.poll_opened(false, cx)).await.unwrap(), Opened::Http1);
    };
    tokio::task::LocalSet::new().run_until(all).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn where_the_bytes_are_cut_changes_nothing(
        parts in prop::collection::vec(prop::sample::select(vec![
            GET, LAST, "\r\n", "\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nbody\r\n", "0\r\n\r\n", "0\r\na: b\r\n\r\n",
            "2;a=b\r\nxy\r\n", "GET / HTTP/1.1\nHost: a\n\n", "0x1\r\n", "\r", "x", "Host: a\r\n",
        ]), 0..8),
        cuts in prop::collection::vec(1..30_usize, 0..40),
    ) {
        let all = parts.concat();
        let mut rest = all.as_bytes();
        let mut pieces = Vec::new();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(ends(&pieces), ends(&[all.as_bytes()]));
    }
}
