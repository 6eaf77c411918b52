//! A collector of OpenTelemetry: takes OTLP over HTTP, answers any way a test wants, and reads the spans by itself.
//!
//! Protobuf is read here byte by byte, by the numbers of the published definitions: what bearerd makes of the same numbers is not
//! asked.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::canaries::Canaries;
use super::listener::Listener;
use super::wire::{Head, Wire, latin1};
use super::{eventually, now, seconds};

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// Takes it; the body of its answer.
    Takes(Vec<u8>),
    /// Answers so, with these fields.
    Says(u16, Vec<(&'static str, &'static str)>),
    /// Answers what is no HTTP.
    Babbles,
    /// Never answers.
    Hangs,
}

/// A batch as it came.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) at: Instant,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether it was taken.
    pub(crate) is_taken: bool,
}

/// A span as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) flags: u64,
    /// 2 is an error.
    pub(crate) status: u64,
    pub(crate) message: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) scope: String,
}

impl Span {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    pub(crate) fn is_server(&self) -> bool {
        self.kind == 2
    }

    pub(crate) fn is_token_request(&self) -> bool {
        self.name == "token request"
    }
}

/// A collector on a loopback port.
pub(crate) struct Collector {
    listener: Listener,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    batches: Mutex<Vec<Batch>>,
    mood: Mutex<Option<Mood>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let listener = Listener::start(Arc::new(move |stream| {
            let _ = serve(&mut Wire::new(stream), &shared);
        }));
        Self { listener, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(crate) fn go_down(&self) {
        self.listener.close();
    }

    pub(crate) fn come_back(&self) {
        self.listener.reopen();
    }

    /// How it treats what comes from now on.
    pub(crate) fn mood(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = Some(mood);
    }

    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.state.batches.lock().unwrap().clone()
    }

    /// Every span of every batch that was taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.batches().iter().filter(|batch| batch.is_taken).flat_map(|batch| spans_of(&batch.body)).collect()
    }

    /// Waits for the spans of requests and their sendings, as many as this.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Span> {
        self.wait_for_those(count, |span| !span.is_token_request())
    }

    /// Waits until so many spans of a kind have come. Server spans come first, sendings in their order.
    #[track_caller]
    pub(crate) fn wait_for_those(&self, count: usize, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let found = || self.spans().into_iter().filter(|span| wanted(span)).collect::<Vec<_>>();
        eventually("the spans have come", seconds(15.0), || found().len() >= count);
        let mut found = found();
        assert_eq!(found.len(), count, "{found:#?}");
        found.sort_by_key(|span| (span.kind, span.start));
        found
    }

    /// The batches that came, searched for whatever must not be in any.
    #[track_caller]
    pub(crate) fn expect_no_secret(&self, canaries: &Canaries) {
        let batches = self.batches();
        assert!(!batches.is_empty());
        for batch in batches {
            let text = latin1(&batch.body);
            assert_eq!(canaries.found_in(&text), None, "in a span");
        }
    }
}

fn serve(wire: &mut Wire, state: &State) -> io::Result<()> {
    while let Some(head) = wire.head()? {
        let (body, _) = wire.body(head.request_framing())?;
        let mood = state.mood.lock().unwrap().clone().unwrap_or(Mood::Takes(Vec::new()));
        let is_taken = matches!(mood, Mood::Takes(_));
        state.batches.lock().unwrap().push(Batch { at: now(), head, body, is_taken });
        let (status, fields, body) = match mood {
            Mood::Takes(body) => (200, Vec::new(), body),
            Mood::Says(status, fields) => (status, fields, b"no".to_vec()),
            Mood::Babbles => return wire.send("SSH-2.0-nobody\r\n"),
            Mood::Hangs => {
                // Until the other end has had enough.
                wire.some()?;
                return Ok(());
            }
        };
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
        wire.send([head.as_bytes(), &body].concat())?;
    }
    Ok(())
}

/// The answer that some spans were not taken.
pub(crate) fn partial_success(rejected: u8) -> Vec<u8> {
    vec![0x0a, 2, 0x08, rejected]
}

/// A field's value: a number, or what has a length.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(bytes) => panic!("no number: {bytes:?}"),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("no bytes: {number}"),
        }
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("text")
    }

    fn hex(self) -> String {
        self.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The fields of a message with their numbers (the wire format of Protocol Buffers).
fn fields(mut bytes: &[u8]) -> Vec<(u64, Value<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)),
            1 => Value::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Value::Bytes(take(&mut bytes, length))
            }
            5 => Value::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, value));
    }
    found
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// Those with this number.
fn all(bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(bytes).into_iter().filter(move |(found, _)| *found == number).map(|(_, value)| value.bytes())
}

fn spans_of(request: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource_spans in all(request, 1) {
        let resource = all(resource_spans, 1).flat_map(|resource| all(resource, 1)).map(attribute).collect();
        for scope_spans in all(resource_spans, 2) {
            let scope = all(scope_spans, 1).flat_map(|scope| all(scope, 1)).next().expect("the scope's name");
            for span in all(scope_spans, 2) {
                spans.push(Span { resource: BTreeMap::clone(&resource), scope: latin1(scope), ..span_of(span) });
            }
        }
    }
    spans
}

fn span_of(bytes: &[u8]) -> Span {
    let mut span = Span::default();
    for (number, value) in fields(bytes) {
        match number {
            1 => span.trace_id = value.hex(),
            2 => span.span_id = value.hex(),
            4 => span.parent = value.hex(),
            5 => span.name = value.text(),
            6 => span.kind = value.number(),
            7 => span.start = value.number(),
            8 => span.end = value.number(),
            9 => span.attributes.extend([attribute(value.bytes())]),
            15 => {
                for (number, value) in fields(value.bytes()) {
                    match number {
                        2 => span.message = value.text(),
                        3 => span.status = value.number(),
                        other => panic!("field {other} of a status"),
                    }
                }
            }
            16 => span.flags = value.number(),
            other => panic!("field {other} of a span"),
        }
    }
    span
}

fn attribute(bytes: &[u8]) -> (String, String) {
    let (mut key, mut text) = (String::new(), String::new());
    for (number, value) in fields(bytes) {
        match number {
            1 => key = value.text(),
            2 => match fields(value.bytes())[..] {
                [(1, value)] => text = value.text(),
                [(3, value)] => text = value.number().to_string(),
                ref other => panic!("{other:?} of {key}"),
            },
            other => panic!("field {other} of an attribute"),
        }
    }
    (key, text)
}
