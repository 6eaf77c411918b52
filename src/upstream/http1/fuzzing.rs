//! Properties of HTTP/1 towards upstreams that hold for any bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken property is a panic, as in a test")]

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, StatusCode};

use super::super::connection::RequestHead;
use super::{head, request};
use crate::fuzzing::{controls, pieces};
use crate::http1::body::{BadChunks, Decoder, Step};
use crate::http1::outgoing::Length;

/// A request's head as an upstream gets it.
pub(crate) fn written(head: &RequestHead<'_>, length: Option<Length>) -> BytesMut {
    request::printed(head, length)
}

/// An upstream's answer means the same wherever its bytes are cut; whoever gets its head is told one length at most, and none beside
/// chunks; and its body ends where its head says.
pub(crate) fn answer(data: &[u8]) {
    let ([seed, method], bytes) = controls(data);
    let method = if method & 1 == 1 { Method::HEAD } else { Method::GET };
    let mut rest = Bytes::copy_from_slice(bytes);
    let Ok(Some(whole)) = head::read(&mut rest, &method) else { return };
    let length = bytes.len() - rest.len();
    assert_eq!(rest, bytes.get(length..).unwrap(), "the body begins behind the head");
    for cut in pieces(seed, bytes.get(..length).unwrap())
        .iter()
        .scan(0, |at, piece| Some(std::mem::replace(at, *at + piece.len())))
    {
        let mut part = Bytes::copy_from_slice(bytes.get(..cut).unwrap());
        assert!(matches!(head::read(&mut part, &method), Ok(None)), "half a head is none, cut at {cut}");
    }
    let fields = &whole.parts.headers;
    let lengths = fields.get_all(CONTENT_LENGTH).iter().count();
    assert!(lengths <= 1, "{fields:?}");
    assert!(lengths == 0 || !fields.contains_key(TRANSFER_ENCODING), "{fields:?}");
    let status = whole.parts.status;
    let has_none = method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_none {
        assert!(whole.body.is_over());
    } else if let Some(said) = fields.get(CONTENT_LENGTH) {
        let said: u64 = said.to_str().unwrap().parse().unwrap();
        assert_eq!(whole.body, Decoder::Length(said));
    }
    assert!(!(whole.persists && whole.body == Decoder::UntilClose), "what ends with the connection is its last");
    let again = || {
        let mut bytes = Bytes::copy_from_slice(bytes);
        head::read(&mut bytes, &method).unwrap().unwrap().body
    };
    assert_eq!(decode(again(), &pieces(seed, &rest)), decode(again(), &[&rest]), "cuts in the body");
}

/// Content, trailers, whether it ended, and how many bytes are left behind the end.
fn decode(mut decoder: Decoder, pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<HeaderMap>, bool, usize), BadChunks> {
    let (mut content, mut trailers) = (Vec::new(), None);
    let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
    for piece in pieces {
        let mut bytes = Bytes::copy_from_slice(piece);
        left -= bytes.len();
        loop {
            match decoder.step(&mut bytes)? {
                Step::Frame(frame) => match frame.into_data() {
                    Ok(data) => content.extend_from_slice(&data),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                Step::Hungry => break,
                Step::End => return Ok((content, trailers, true, left + bytes.len())),
            }
        }
        assert!(bytes.is_empty(), "who is hungry has eaten");
    }
    let is_over = decoder.is_over();
    Ok((content, trailers, is_over, left))
}
