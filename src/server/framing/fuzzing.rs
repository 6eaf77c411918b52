//! Properties of HTTP/1 from callers that hold for any bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken property is a panic, as in a test"
)]

use bytes::Bytes;
use http::request::Parts;
use http_body::Frame;

use super::super::{Refusal, http1};
use super::head::{BodyLength, Places};
use super::message::{Judged, Message};
use crate::fuzzing::{controls, pieces};
use crate::http1::body::{Decoder, Step};
use crate::server::fuzzing::HEAD;

/// One request, as it was let through.
#[derive(Debug, PartialEq, Eq)]
struct Passed {
    head: Vec<u8>,
    places: Places,
    length: BodyLength,
    /// Chunks and all.
    body: Vec<u8>,
}

/// What became of a caller's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Walk {
    passed: Vec<Passed>,
    refusal: Option<Refusal>,
}

/// Where one request ends and the next begins is the same wherever the bytes were cut, and to whoever reads them again; another parser
/// reads the same head, and a more lenient decoder the same body.
pub(crate) fn framing(data: &[u8]) {
    let ([seed], bytes) = controls(data);
    let whole = walk(&[bytes], HEAD);
    assert_eq!(walk(&pieces(seed, bytes), HEAD), whole, "cut elsewhere");
    let mut again = Vec::new();
    for request in &whole.passed {
        is_read_alike(request);
        let parts = parts(&request.head, &request.places);
        let mut head = start_line(request);
        for (name, value) in &parts.headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        again.extend([&head[..], &request.body].concat());
        if request.length == BodyLength::Chunked {
            let content = decoded(request);
            let one = if content.is_empty() {
                Vec::new()
            } else {
                [format!("{:x}\r\n", content.len()).as_bytes(), &content, b"\r\n"].concat()
            };
            let anew = [&head[..], &one, b"0\r\n\r\n"].concat();
            let walk = walk(&[&anew], 2 * HEAD);
            assert!(walk.refusal.is_none() && walk.passed.len() == 1, "{walk:?}");
            assert_eq!(decoded(&walk.passed[0]), content);
        }
    }
    let second = walk(&[&again], 2 * HEAD);
    assert_eq!(second.refusal, None, "what was let through is let through again");
    assert_eq!(second.passed.len(), whole.passed.len());
    for (first, second) in whole.passed.iter().zip(&second.passed) {
        assert_eq!((first.length, &first.body), (second.length, &second.body));
        assert_eq!(parts(&first.head, &first.places).headers, parts(&second.head, &second.places).headers);
    }
}

/// A request's head, the target as it stands in it, and whether a body follows: of which length, if that is known.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) parts: Parts,
    pub(crate) target: Vec<u8>,
    pub(crate) body: Option<Option<u64>>,
    /// The length of the head, in bytes.
    pub(crate) length: usize,
}

/// The request that the bytes begin with, if they do and are in order.
pub(crate) fn request(bytes: &[u8]) -> Option<Read> {
    let (head, places) = Message::new(4 * HEAD).judge(bytes, HEAD).ok()?.head?;
    let body = match head.body {
        BodyLength::Known(0) => None,
        BodyLength::Known(length) => Some(Some(length)),
        BodyLength::Chunked => Some(None),
    };
    let target = bytes[places.target.clone()].to_vec();
    let head_bytes = Bytes::copy_from_slice(&bytes[..head.length]);
    let parts = http1::request_of(&head_bytes, &places).ok()?.into_parts().0;
    Some(Read { parts, target, body, length: head.length })
}

/// As [`super::Framed`] goes through what comes.
fn walk(pieces: &[&[u8]], limit: usize) -> Walk {
    let mut message = Message::new(limit);
    let mut walk = Walk { passed: Vec::new(), refusal: None };
    let mut held = Vec::new();
    let mut current: Option<Passed> = None;
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            let blank = message.blank(&held);
            held.drain(..blank);
            let judged = match message.judge(&held, limit) {
                Ok(judged) => judged,
                Err(refusal) => {
                    walk.refusal = Some(refusal);
                    return walk;
                }
            };
            let Judged { granted, head } = judged;
            let mut bytes: Vec<u8> = held.drain(..granted).collect();
            if let Some((head, places)) = head {
                let body = bytes.split_off(head.length);
                current = Some(Passed { head: bytes, places, length: head.body, body });
            } else if let Some(current) = &mut current {
                current.body.append(&mut bytes);
            }
            if !message.is_over() {
                break;
            }
            walk.passed.extend(current.take());
            message = Message::new(limit);
        }
    }
    walk
}

fn parts(head: &[u8], places: &Places) -> Parts {
    let request = http1::request_of(&Bytes::copy_from_slice(head), places);
    request.unwrap_or_else(|refusal| panic!("judged to be in order, and then: {}", refusal.detail)).into_parts().0
}

fn start_line(request: &Passed) -> Vec<u8> {
    let Passed { head, places, .. } = request;
    let version = if places.is_http_1_0 { "HTTP/1.0" } else { "HTTP/1.1" };
    [&head[places.method.clone()], b" ", &head[places.target.clone()], b" ", version.as_bytes(), b"\r\n"].concat()
}

/// Another parser of heads finds the same.
fn is_read_alike(request: &Passed) {
    let Passed { head, places, length, body } = request;
    let mut space = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Request::new(&mut space);
    assert_eq!(other.parse(head), Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());
    assert_eq!(other.method.unwrap().as_bytes(), &head[places.method.clone()]);
    assert_eq!(other.path.unwrap().as_bytes(), &head[places.target.clone()]);
    assert_eq!(other.version == Some(0), places.is_http_1_0);
    assert_eq!(other.headers.len(), places.fields.len());
    for (other, place) in other.headers.iter().zip(&places.fields) {
        assert_eq!(other.name.as_bytes(), &head[place.name.clone()]);
        assert_eq!(other.value, &head[place.value.clone()]);
    }
    let named = |name: &str| other.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
    match length {
        BodyLength::Known(length) => {
            assert_eq!(body.len() as u64, *length);
            assert_eq!(named("transfer-encoding"), 0);
        }
        BodyLength::Chunked => assert_eq!((named("transfer-encoding"), named("content-length")), (1, 0)),
    }
}

/// The content, by the decoder that reads what was judged here.
fn decoded(request: &Passed) -> Vec<u8> {
    let mut decoder = match request.length {
        BodyLength::Known(length) => Decoder::Length(length),
        BodyLength::Chunked => Decoder::chunked(usize::MAX),
    };
    let mut bytes = Bytes::copy_from_slice(&request.body);
    let mut content = Vec::new();
    loop {
        match decoder.step(&mut bytes).unwrap() {
            Step::Frame(frame) => content.extend(Frame::into_data(frame).unwrap_or_default()),
            Step::Hungry => panic!("a body that is over to one is not to the other: {}", request.body.escape_ascii()),
            Step::End => break,
        }
        if decoder.is_over() {
            break;
        }
    }
    assert!(bytes.is_empty() && decoder.is_over(), "a body ends later to one than to the other");
    content
}
