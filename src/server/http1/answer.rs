//! The head of an answer (RFC 9112 §§4–6, 9.3): its fields, how its body ends, and whether the connection goes on.

use std::error::Error;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderValue};
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
    let closes = closes || !asked.persists || length == Length::UntilClose;
    let said = Said { length: said_length(asked, head.status, length, exact), closes };
    let to = outgoing.begin(Some(body).filter(|_| !has_none && !is_over), length);
    write_head(to, &head, asked, said, spells)
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

fn write_head(to: &mut BytesMut, head: &response::Parts, asked: &Asked, mut said: Said, spells: bool) -> After {
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
        if *name == header::CONNECTION {
            says_connection = true;
            said.closes |= value.as_bytes().eq_ignore_ascii_case(b"close");
        }
        says_date |= *name == header::DATE;
        names.write(to, name);
        write_value(to, value);
    }
    match said.length {
        SaidLength::Bytes(bytes) => {
            names.write(to, &header::CONTENT_LENGTH);
            to.put_slice(b": ");
            to.put_slice(itoa::Buffer::new().format(bytes).as_bytes());
            to.put_slice(b"\r\n");
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
    if said.closes { After::Closes } else { After::Persists }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full, combinators::BoxBody};

    const USUAL: Asked = Asked { is_old: false, is_head: false, persists: true, trailers: false, expects: false };

    /// A body of three bytes, or none, the length of which is known, or not.
    fn body(text: &'static str, is_known: bool) -> BoxBody<Bytes, std::convert::Infallible> {
        let whole = Full::new(Bytes::from_static(text.as_bytes()));
        if is_known { whole.boxed() } else { whole.map_frame(|frame| frame).boxed() }
    }

    /// What is written of an answer with a date, without that, and what becomes of the connection.
    fn answered(
        asked: Asked,
        status: u16,
        fields: &[(&str, &str)],
        (text, is_known): (&'static str, bool),
    ) -> (String, After) {
        let mut response = Response::builder().status(status).header("date", "today");
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let mut outgoing = Outgoing::answer();
        let after = begin(&mut outgoing, response.body(body(text, is_known)).unwrap(), &asked, false, false);
        let written = std::future::poll_fn(|cx| {
            let mut written = Vec::new();
            assert!(outgoing.poll(&mut std::pin::pin!(&mut written), cx).is_ready());
            std::task::Poll::Ready(written)
        });
        let written = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(written);
        (String::from_utf8(written).unwrap().replace("date: today\r\n", ""), after)
    }

    #[test]
    fn the_end_of_the_body_is_said_as_the_caller_understands_it() {
        let old = Asked { is_old: true, persists: false, ..USUAL };
        let lasting = Asked { is_old: true, ..USUAL };
        let head = Asked { is_head: true, ..USUAL };
        let last = Asked { persists: false, ..USUAL };
        let known = ("abc", true);
        let unknown = ("abc", false);
        let length = &[("content-length", "3")][..];
        for (asked, status, fields, body, wanted, after) in [
            (USUAL, 200, &[][..], known, "1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", After::Persists),
            (USUAL, 200, length, known, "1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", After::Persists),
            // What we frame ourselves is said by nobody else.
            (
                USUAL,
                200,
                length,
                unknown,
                "1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                After::Persists,
            ),
            (USUAL, 200, &[], ("", false), "1.1 200 OK\r\ncontent-length: 0\r\n\r\n", After::Persists),
            (
                USUAL,
                200,
                &[("connection", "close")],
                known,
                "1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
                After::Closes,
            ),
            (last, 200, &[], known, "1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc", After::Closes),
            (old, 200, &[], known, "1.0 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc", After::Closes),
            (
                lasting,
                200,
                &[],
                known,
                "1.0 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
                After::Persists,
            ),
            (lasting, 200, &[], unknown, "1.0 200 OK\r\nconnection: close\r\n\r\nabc", After::Closes),
            // RFC 9110 §9.3.2: the fields of the answer to a GET, as far as they are known.
            (head, 200, length, ("", true), "1.1 200 OK\r\ncontent-length: 3\r\n\r\n", After::Persists),
            (head, 200, &[], ("", true), "1.1 200 OK\r\n\r\n", After::Persists),
            (head, 404, &[], known, "1.1 404 Not Found\r\ncontent-length: 3\r\n\r\n", After::Persists),
            (USUAL, 304, length, ("", true), "1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", After::Persists),
            (USUAL, 204, &[("content-length", "0")], ("", true), "1.1 204 No Content\r\n\r\n", After::Persists),
            (
                USUAL,
                101,
                &[("connection", "upgrade")],
                ("", true),
                "1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\r\n",
                After::Persists,
            ),
            (USUAL, 299, &[], known, "1.1 299 \r\ncontent-length: 3\r\n\r\nabc", After::Persists),
        ] {
            let got = answered(asked, status, fields, body);
            assert_eq!(got, (format!("HTTP/{wanted}"), after), "{asked:?} {status} {fields:?} {body:?}");
        }
    }

    #[test]
    fn an_answer_without_a_date_gets_one_and_names_in_title_case_where_spelling_matters() {
        let mut outgoing = Outgoing::answer();
        let response = Response::builder().header("x-first", "1").body(body("", true)).unwrap();
        begin(&mut outgoing, response, &USUAL, true, true);
        let written = String::from_utf8(outgoing.begin(None, Length::Known(0)).to_vec()).unwrap();
        let lines: Vec<_> = written.lines().map(|line| line.split_once(": ").unwrap_or((line, "")).0).collect();
        assert_eq!(lines, ["HTTP/1.1 200 OK", "X-First", "Content-Length", "Connection", "Date", ""]);
    }
}
