//! Streams that stay open while something happens: events, WebSockets, gRPC conversations. Everything on them is numbered.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::figures::{Row, held};
use crate::support::client::read_response_head;
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, frame, request};
use crate::support::peers::{Peer, venv_python};
use crate::support::wire::{Wire, chunk};
use crate::support::{After, Bearerd, Request, Setup, Upstream, eventually, pause, seconds};

/// Between two messages of a stream.
const REST: Duration = Duration::from_millis(20);
/// How long a number is on a WebSocket.
const DIGITS: usize = 10;

/// What the streams go to, beside the usual upstream.
pub(crate) struct Far {
    grpc: Peer,
    over: Arc<AtomicBool>,
}

/// Streams through one bearerd, open until they are told to end.
pub(crate) struct Streams {
    over: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
    members: Vec<(&'static str, JoinHandle<Result<usize, String>>)>,
    calls: Vec<(Child, BufReader<ChildStdout>)>,
}

impl Far {
    /// Lets the upstream have events and echoes, and a gRPC server of grpcio stand beside it.
    pub(crate) fn start(upstream: &Upstream) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&over);
        upstream.on("/events", move |exchange| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            exchange.wire.send(head)?;
            let mut number = 0;
            while !switch.load(Ordering::Relaxed) {
                exchange.wire.send(chunk(format!("data: {number}\n\n")))?;
                number += 1;
                pause(REST);
            }
            exchange.wire.send(chunk("data: last\n\n"))?;
            exchange.wire.send("0\r\n\r\n")?;
            Ok(After::KeepAlive)
        });
        upstream.on("/echo", |exchange| exchange.switch_and_echo());
        Self { grpc: Peer::start("grpc_calls.py", &["server"]), over }
    }

    /// The setup with a route to the gRPC server, beside the usual one.
    pub(crate) fn beside(&self, setup: Setup) -> Setup {
        let route = "path = \"/bearerd.Test\"\nstrip_path = false\nupstream_protocol = \"h2\"\nrejection = { grpc_status = [16] }";
        setup.section(&format!("[routes.grpc]\nupstream = \"http://{}\"\n{route}\n", self.grpc.address()))
    }

    /// Opens so many of each kind, and waits until something has come on each of them.
    pub(crate) fn open(&self, bearerd: &Bearerd, each: usize) -> Streams {
        let mut streams =
            Streams { over: Arc::clone(&self.over), begun: Arc::default(), members: Vec::new(), calls: Vec::new() };
        let address = bearerd.address();
        for _ in 0..each {
            streams.add("event streams over HTTP/1", move |begun, _| events_http1(address, begun));
            streams.add("event streams over HTTP/2", move |begun, _| events_http2(address, begun));
            streams.add("WebSockets", move |begun, over| websocket(address, begun, over));
        }
        let threads = streams.members.len();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/grpc_calls.py");
        for _ in 0..each {
            let mut command = Command::new(venv_python());
            command.args([script, "client", &format!("localhost:{}", address.port()), "conversation"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
            let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
            let mut line = String::new();
            said.read_line(&mut line).expect("a line");
            assert_eq!(line, "begun\n", "gRPC");
            streams.calls.push((child, said));
        }
        eventually("every stream has begun", seconds(20.0), || {
            streams.begun.load(Ordering::Relaxed) >= threads || streams.has_lost_one()
        });
        streams
    }
}

impl Streams {
    fn add(
        &mut self,
        kind: &'static str,
        live: impl FnOnce(Begun, &AtomicBool) -> Result<usize, String> + Send + 'static,
    ) {
        let (begun, over) = (Begun(Some(Arc::clone(&self.begun))), Arc::clone(&self.over));
        self.members.push((kind, std::thread::spawn(move || live(begun, &over))));
    }

    /// Whether one of them has ended by itself.
    pub(crate) fn has_lost_one(&self) -> bool {
        self.members.iter().any(|(_, member)| member.is_finished())
    }

    /// Tells all of them to end in good order; what came on them.
    pub(crate) fn end(self, what: &str) -> Vec<Row> {
        self.over.store(true, Ordering::Relaxed);
        let mut kinds: Vec<(&str, Vec<Result<usize, String>>)> = Vec::new();
        let calls =
            self.calls.into_iter().map(|(child, said)| ("gRPC conversations over HTTP/2", end_call(child, said)));
        let members = self.members.into_iter().map(|(kind, member)| (kind, member.join().expect("a stream")));
        // Calls first: their ends are waited for one by one, and all of the others have heard of it already.
        for (kind, outcome) in calls.chain(members) {
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, outcomes)) => outcomes.push(outcome),
                None => kinds.push((kind, vec![outcome])),
            }
        }
        kinds.into_iter().map(|(kind, outcomes)| told(what, kind, &outcomes)).collect()
    }
}

fn told(what: &str, kind: &str, outcomes: &[Result<usize, String>]) -> Row {
    let wrong: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    let messages: usize = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).sum();
    held(
        format!("{what}: {} {kind}: messages, cut or out of order", outcomes.len()),
        format!("{messages}, {} {}", wrong.len(), wrong.first().map_or("", |wrong| wrong.as_str())),
        "0 cut, 0 reordered",
        wrong.is_empty() && messages > outcomes.len(),
    )
}

/// To be told when the first message has come.
struct Begun(Option<Arc<AtomicUsize>>);

impl Begun {
    fn tell(&mut self) {
        if let Some(counter) = self.0.take() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Numbered events, cut into pieces in any way.
#[derive(Default)]
struct Events {
    text: String,
    count: usize,
    has_ended: bool,
}

impl Events {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.text.push_str(&String::from_utf8_lossy(bytes));
        while let Some((event, rest)) = self.text.split_once("\n\n") {
            match event.strip_prefix("data: ") {
                Some("last") => self.has_ended = true,
                Some(number) if number.parse() == Ok(self.count) && !self.has_ended => self.count += 1,
                _ => return Err(format!("{event:?} after {} events", self.count)),
            }
            self.text = rest.to_owned();
        }
        Ok(())
    }

    fn end(self) -> Result<usize, String> {
        if self.has_ended { Ok(self.count) } else { Err(format!("over after {} events", self.count)) }
    }
}

fn events_http1(address: std::net::SocketAddr, mut begun: Begun) -> Result<usize, String> {
    let mut events = Events::default();
    let cut = |events: &Events, error: std::io::Error| format!("{error} after {} events", events.count);
    let mut wire = Wire::connect(address).map_err(|error| cut(&events, error))?;
    wire.send(Request::get("/events").bytes(address)).map_err(|error| cut(&events, error))?;
    let head = read_response_head(&mut wire).map_err(|error| cut(&events, error))?;
    if head.status != 200 {
        return Err(head.raw_head);
    }
    while let Some(piece) = wire.chunk().map_err(|error| cut(&events, error))? {
        events.take(&piece)?;
        begun.tell();
    }
    events.end()
}

fn events_http2(address: std::net::SocketAddr, mut begun: Begun) -> Result<usize, String> {
    let mut events = Events::default();
    let open = || {
        let mut frames = Frames::connect(address)?;
        let fields = request("GET", "/events", &address.to_string(), &[]);
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields))?;
        frames.status(1)?;
        Ok::<_, std::io::Error>(frames)
    };
    let mut frames = open().map_err(|error| format!("{error} at the start"))?;
    loop {
        let (bytes, is_last) =
            next_bytes(&mut frames).map_err(|error| format!("{error} after {} events", events.count))?;
        events.take(&bytes)?;
        begun.tell();
        if is_last {
            return events.end();
        }
    }
}

/// What comes next on stream 1, and whether it is the last. Who asks whether we are there is told so.
fn next_bytes(frames: &mut Frames) -> std::io::Result<(Vec<u8>, bool)> {
    loop {
        match frames.next()? {
            (PING, 0, _, payload) => frames.send(frame(PING, 1, 0, payload))?,
            (DATA, flags, 1, payload) => return Ok((payload, flags & END_STREAM != 0)),
            (RST_STREAM, _, 1, payload) => return Err(std::io::Error::other(format!("reset: {payload:?}"))),
            _ => {}
        }
    }
}

fn websocket(address: std::net::SocketAddr, mut begun: Begun, over: &AtomicBool) -> Result<usize, String> {
    let mut count = 0;
    let mut converse = || {
        let mut wire = Wire::connect(address)?;
        let asking = Request::get("/echo").field("Connection", "Upgrade").field("Upgrade", "websocket");
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let asking = asking.field("Sec-WebSocket-Version", "13").field("Sec-WebSocket-Key", key);
        wire.send(asking.bytes(address))?;
        let head = read_response_head(&mut wire)?;
        if head.status != 101 {
            return Err(std::io::Error::other(head.raw_head));
        }
        while !over.load(Ordering::Relaxed) {
            let said = format!("{count:DIGITS$}");
            wire.send(&said)?;
            let heard = wire.exactly(DIGITS)?;
            if heard != said.as_bytes() {
                return Err(std::io::Error::other(format!("{:?} came back", String::from_utf8_lossy(&heard))));
            }
            count += 1;
            begun.tell();
            pause(REST);
        }
        // Its end is an end for the other side, too.
        wire.socket().shutdown(std::net::Shutdown::Write)?;
        match wire.closes_within(seconds(5.0)) {
            true => Ok(()),
            false => Err(std::io::Error::other("the end did not pass")),
        }
    };
    match converse() {
        Ok(()) => Ok(count),
        Err(error) => Err(format!("{error} after {count} messages")),
    }
}

/// A conversation ends when its standard input does.
fn end_call(mut child: Child, mut said: BufReader<ChildStdout>) -> Result<usize, String> {
    drop(child.stdin.take());
    let mut rest = String::new();
    let _ = said.read_to_string(&mut rest);
    let is_well = child.wait().is_ok_and(|status| status.success());
    let mut lines = rest.lines();
    match (lines.next().and_then(|count| count.parse().ok()), lines.next()) {
        (Some(count), Some("ok")) if is_well => Ok(count),
        _ => Err(format!("a call ended badly: {rest:?}")),
    }
}
