//! The head of an answer (RFC 9112 §§4–6, 9.3): its fields, how its body ends, and whether the connection goes on.

use std::error::Error;
use std::io::Write as _;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode, response};
use http_body::Body;
use hyper::ext::ReasonPhrase;

use super::request::Asked;
use crate::http1::outgoing::{Length, Names, Outgoing, write_value};
use crate::spelling::Spelling;

/// How the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// With another request.
    Persists,
    /// Not at all.
    Closes,
}

/// Begins an answer. `closes` says that it is the connection's last. With `spells` names are written in Title-Case.
pub(super) fn begin<B>(
    outgoing: &mut Outgoing<B>,
    response: Response<B>,
    asked: &Asked,
    closes: bool,
    spells: bool,
) -> After
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    let (head, body) = response.into_parts();
    let has_none = asked.is_head || has_no_body(head.status);
    let is_over = body.is_end_stream();
    let exact = if is_over { Some(0) } else { body.size_hint().exact() };
    let length = match exact {
        _ if has_none => Length::Known(0),
        Some(bytes) => Length::Known(bytes),
        None if asked.is_old => Length::UntilClose,
        None => Length::Chunked { trailers: asked.trailers },
    };
    let closes = closes || !asked.persists || length == Length::UntilClose || says_close(&head.headers);
    let said = Said { length: said_length(asked, head.status, length, exact), closes };
    let to = outgoing.begin(Some(body).filter(|_| !has_none && !is_over), length);
    write_head(to, &head, asked, said, spells);
    if closes { After::Closes } else { After::Persists }
}

/// What we say of framing and connection, whatever the answer's fields say.
#[derive(Clone, Copy)]
struct Said {
    length: SaidLength,
    closes: bool,
}

/// What is said of the body's length.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SaidLength {
    Bytes(u64),
    Chunked,
    /// What the answer's own field says: that of a body which is not sent.
    AsItStands,
    Nothing,
}

fn said_length(asked: &Asked, status: StatusCode, length: Length, exact: Option<u64>) -> SaidLength {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6.
        return SaidLength::Nothing;
    }
    match (length, exact) {
        // Of our own documents the length is known though they are not sent.
        (_, Some(bytes)) if asked.is_head && bytes > 0 => SaidLength::Bytes(bytes),
        _ if asked.is_head || status == StatusCode::NOT_MODIFIED => SaidLength::AsItStands,
        (Length::Known(bytes), _) => SaidLength::Bytes(bytes),
        (Length::Chunked { .. }, _) => SaidLength::Chunked,
        (Length::UntilClose, _) => SaidLength::Nothing,
    }
}

/// RFC 9112 §6.3.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn says_close(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn write_head(to: &mut BytesMut, head: &response::Parts, asked: &Asked, said: Said, spells: bool) {
    // Whoever speaks HTTP/1.0 need not know the other.
    to.put_slice(if asked.is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    to.put_slice(head.status.as_str().as_bytes());
    to.put_u8(b' ');
    let canonical = head.status.canonical_reason().unwrap_or_default().as_bytes();
    to.put_slice(head.extensions.get::<ReasonPhrase>().map_or(canonical, ReasonPhrase::as_bytes));
    to.put_slice(b"\r\n");
    let spelling = spells.then(Spelling::default);
    let mut names = Names::new(spelling.as_ref());
    let (mut says_connection, mut says_date) = (false, false);
    for (name, value) in &head.headers {
        if *name == header::CONTENT_LENGTH && said.length != SaidLength::AsItStands
            || *name == header::TRANSFER_ENCODING
        {
            continue;
        }
        says_connection |= *name == header::CONNECTION;
        says_date |= *name == header::DATE;
        names.write(to, name);
        write_value(to, value);
    }
    match said.length {
        SaidLength::Bytes(bytes) => {
            names.write(to, &header::CONTENT_LENGTH);
            // A BytesMut takes whatever is written to it.
            let _ = write!(to.writer(), ": {bytes}\r\n");
        }
        SaidLength::Chunked => {
            names.write(to, &header::TRANSFER_ENCODING);
            to.put_slice(b": chunked\r\n");
        }
        SaidLength::AsItStands | SaidLength::Nothing => {}
    }
    if !says_connection && (said.closes || asked.is_old) {
        names.write(to, &header::CONNECTION);
        to.put_slice(if said.closes { b": close\r\n" } else { b": keep-alive\r\n" });
    }
    // RFC 9110 §6.6.1.
    if !says_date && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        names.write(to, &header::DATE);
        write_value(to, &date);
    }
    to.put_slice(b"\r\n");
}
