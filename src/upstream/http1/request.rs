//! The head of a request (RFC 9112 §§3, 6).

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};

#[cfg(feature = "otel")]
use super::super::connection::TRACEPARENT;
use super::super::connection::{Outbound, RequestHead};
use crate::dpop;
use crate::http1::outgoing::{Length, Names, Outgoing, write_value};
use crate::spelling::Spelling;

/// Begins a request, after the last one is done. With `spells` its names are written as its spelling says.
pub(super) fn begin<B: Outbound>(upload: &mut Outgoing<B>, head: &RequestHead<'_>, body: B, spells: bool) {
    let body = Some(body).filter(|body| !body.is_end_stream());
    let length = body.as_ref().map(|body| match body.size_hint().exact() {
        Some(bytes) => Length::Known(bytes),
        None => Length::Chunked { trailers: true },
    });
    let fallback = Spelling::default();
    let spelling = spells.then(|| head.spelling.unwrap_or(&fallback));
    write_head(upload.begin(body, length.unwrap_or(Length::Known(0))), head, length, spelling);
}

/// `length` is that of the body, if there is one.
fn write_head(to: &mut BytesMut, head: &RequestHead<'_>, length: Option<Length>, spelling: Option<&Spelling>) {
    to.put_slice(head.method.as_str().as_bytes());
    to.put_u8(b' ');
    let target = head.target.as_sent().as_str();
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
    let injected = head.injected.as_ref();
    for (name, value) in head.headers {
        if *name == HOST || injected.is_some_and(|(injected, _)| name == injected) {
            continue;
        }
        if head.proof.is_some() && *name == dpop::FIELD {
            continue;
        }
        #[cfg(feature = "otel")]
        if head.traceparent.is_some() && *name == TRACEPARENT {
            continue;
        }
        names.write(to, name);
        write_value(to, value);
    }
    if let Some((name, value)) = injected {
        names.write(to, name);
        write_value(to, value);
    }
    if let Some(proof) = &head.proof {
        names.write(to, &dpop::FIELD);
        write_value(to, proof);
    }
    #[cfg(feature = "otel")]
    if let Some(traceparent) = &head.traceparent {
        names.write(to, &TRACEPARENT);
        write_value(to, traceparent);
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

/// A head as it is written. `length` is that of the body, if there is one.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn printed(head: &RequestHead<'_>, length: Option<Length>) -> BytesMut {
    let mut to = BytesMut::new();
    write_head(&mut to, head, length, None);
    to
}

#[cfg(test)]
mod tests {
    use super::super::super::connection::Target;
    use super::*;
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, Full, combinators::BoxBody};

    fn written(body: impl Into<bytes::Bytes>, is_known: bool, spelling: Option<&Spelling>) -> String {
        let body: BoxBody<bytes::Bytes, std::convert::Infallible> = match is_known {
            true => Full::new(body.into()).boxed(),
            false => Full::new(body.into()).map_frame(|frame| frame).boxed(),
        };
        let fields = [("x-a", "1"), ("host", "h"), ("authorization", "theirs"), ("x-a", "2")];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        let head = RequestHead {
            method: &http::Method::POST,
            target: Target::Plain(&"/p?q".parse().unwrap()),
            headers: &headers,
            injected: Some((&http::header::AUTHORIZATION, HeaderValue::from_static("Bearer t"))),
            proof: None,
            spelling,
            on_interim: None,
            #[cfg(feature = "otel")]
            traceparent: None,
        };
        let mut upload = Outgoing::request();
        begin(&mut upload, &head, body, spelling.is_some());
        String::from_utf8(upload.begin(None, Length::Known(0)).to_vec()).unwrap()
    }

    const HEAD: &str = "POST /p?q HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\nauthorization: Bearer t\r\n";

    #[test]
    fn of_a_body_its_length_is_said_and_nothing_where_there_is_none() {
        assert_eq!(written("abc", true, None), format!("{HEAD}content-length: 3\r\n\r\n"));
        assert_eq!(written("abc", false, None), format!("{HEAD}transfer-encoding: chunked\r\n\r\n"));
        assert_eq!(written("", true, None), format!("{HEAD}\r\n"));
    }

    #[test]
    fn names_are_spelled_as_they_were() {
        let spelling = Spelling::of_head(b"POST / HTTP/1.1\r\nX-A: 1\r\nx-A: 2\r\n\r\n");
        let spelled = "POST /p?q HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-A: 2\r\nAuthorization: Bearer t\r\n\r\n";
        assert_eq!(written("", true, Some(&spelling)), spelled);
    }
}
