//! The head of a request (RFC 9112 §§3, 6).

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use http::{Request, request};

use super::super::connection::Outbound;
use crate::http1::outgoing::{Length, Names, Outgoing, write_value};
use crate::spelling::Spelling;

/// Begins a request, after the last one is done. With a spelling its names are written in that.
pub(super) fn begin<B: Outbound>(upload: &mut Outgoing<B>, request: Request<B>, spelling: Option<&Spelling>) {
    let (head, body) = request.into_parts();
    let body = Some(body).filter(|body| !body.is_end_stream());
    let length = body.as_ref().map(|body| match body.size_hint().exact() {
        Some(bytes) => Length::Known(bytes),
        None => Length::Chunked { trailers: true },
    });
    write_head(upload.begin(body, length.unwrap_or(Length::Known(0))), &head, length, spelling);
}

/// `length` is that of the body, if there is one.
fn write_head(to: &mut BytesMut, head: &request::Parts, length: Option<Length>, spelling: Option<&Spelling>) {
    to.put_slice(head.method.as_str().as_bytes());
    to.put_u8(b' ');
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with(['/', '*']) {
        // RFC 9112 §3.2.1: an empty path is written so.
        to.put_u8(b'/');
    }
    to.put_slice(target.as_bytes());
    to.put_slice(b" HTTP/1.1\r\n");
    let mut names = Names::new(spelling);
    // RFC 9110 §7.2: first, so that nobody has to look for it.
    if let Some(host) = head.headers.get(HOST) {
        names.write(to, &HOST);
        write_value(to, host);
    }
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != HOST) {
        names.write(to, name);
        write_value(to, value);
    }
    match length {
        None => {}
        Some(Length::Known(bytes)) => {
            names.write(to, &CONTENT_LENGTH);
            write_value(to, &HeaderValue::from(bytes));
        }
        Some(Length::Chunked { .. } | Length::UntilClose) => {
            names.write(to, &TRANSFER_ENCODING);
            write_value(to, &HeaderValue::from_static("chunked"));
        }
    }
    to.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full, combinators::BoxBody};

    fn written(body: impl Into<bytes::Bytes>, is_known: bool, spelling: Option<&Spelling>) -> String {
        let body: BoxBody<bytes::Bytes, std::convert::Infallible> = match is_known {
            true => Full::new(body.into()).boxed(),
            false => Full::new(body.into()).map_frame(|frame| frame).boxed(),
        };
        let request = Request::post("/p?q").header("x-a", "1").header("host", "h").header("x-a", "2").body(body);
        let mut upload = Outgoing::request();
        begin(&mut upload, request.unwrap(), spelling);
        String::from_utf8(upload.begin(None, Length::Known(0)).to_vec()).unwrap()
    }

    const HEAD: &str = "POST /p?q HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\n";

    #[test]
    fn of_a_body_its_length_is_said_and_nothing_where_there_is_none() {
        assert_eq!(written("abc", true, None), format!("{HEAD}content-length: 3\r\n\r\n"));
        assert_eq!(written("abc", false, None), format!("{HEAD}transfer-encoding: chunked\r\n\r\n"));
        assert_eq!(written("", true, None), format!("{HEAD}\r\n"));
    }

    #[test]
    fn names_are_spelled_as_they_were() {
        let spelling = Spelling::of_head(b"POST / HTTP/1.1\r\nX-A: 1\r\nx-A: 2\r\n\r\n");
        let spelled = "POST /p?q HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-A: 2\r\n\r\n";
        assert_eq!(written("", true, Some(&spelling)), spelled);
    }
}
