//! Changing the protocol on a stream of HTTP/2: extended CONNECT (RFC 8441), told from and to the form that HTTP/1 has for it.
//!
//! To whoever sends a request there is one form alone, that of HTTP/1: `Upgrade` in a GET, and 101. Owns the translation, and
//! the stream afterwards.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Method, Request, StatusCode, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::http2::Lease;
use crate::websocket;

/// How much is handed over at a time at most, in bytes: one frame's worth.
const PIECE: usize = 16 * 1024;

/// What a request asks to change to.
#[derive(Debug)]
pub(super) struct Wish {
    protocol: HeaderValue,
    /// What proves to an HTTP/1 client that its key was understood.
    answer: Option<HeaderValue>,
}

impl Wish {
    /// Takes the wish out of a request and makes it an extended CONNECT; `None` if it has none.
    pub(super) fn take<B>(request: &mut Request<B>) -> Option<Self> {
        let wanted = request.headers_mut().remove(UPGRADE)?;
        // HTTP/2 can ask for one; the caller's first is the one it likes best (RFC 9110 §7.8).
        let name = wanted.to_str().ok()?.split(',').next()?.trim();
        let is_websocket = websocket::is_named(name.as_bytes());
        let name = if is_websocket { "websocket" } else { name };
        let protocol = HeaderValue::from_str(name).ok()?;
        request.extensions_mut().insert(Protocol::from(name));
        *request.method_mut() = Method::CONNECT;
        let key = request.headers_mut().remove(SEC_WEBSOCKET_KEY);
        let answer = key.filter(|_| is_websocket).as_ref().map(websocket::answer);
        Some(Self { protocol, answer })
    }

    /// Whether this answer grants it (RFC 9110 §9.3.6: every 2xx does); then it is made to say so as HTTP/1 would.
    pub(super) fn grant(self, answer: &mut response::Parts) -> bool {
        if !answer.status.is_success() {
            return false;
        }
        answer.status = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers.remove(CONTENT_LENGTH);
        answer.headers.remove(SEC_WEBSOCKET_ACCEPT);
        answer.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers.insert(UPGRADE, self.protocol);
        if let Some(proof) = self.answer {
            answer.headers.insert(SEC_WEBSOCKET_ACCEPT, proof);
        }
        true
    }
}

/// Both halves of a stream that is no longer HTTP. Dropped before both have ended, h2 resets it with CANCEL, which stands for
/// TCP's reset as END_STREAM does for its end (RFC 8441 §5). No more is handed to h2 than the upstream takes, so that nothing
/// stands before the reset.
#[derive(Debug)]
pub(super) struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// What came and was not read yet.
    ahead: Bytes,
    said_all: bool,
    /// Counts it among the connection's streams.
    _lease: Lease,
}

impl Tunnel {
    pub(super) fn new((send, receive): (SendStream<Bytes>, RecvStream), lease: Lease) -> Self {
        Self { send, receive, ahead: Bytes::new(), said_all: false, _lease: lease }
    }

    /// Ready when the upstream takes something: how much.
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(reset) = self.send.poll_reset(cx) {
            return Poll::Ready(Err(reset.map_or_else(io::Error::other, was_reset)));
        }
        self.send.reserve_capacity(wanted);
        loop {
            match self.send.capacity() {
                0 => (),
                room => return Poll::Ready(Ok(room.min(wanted))),
            }
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => (),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.ahead.is_empty() {
            match ready!(this.receive.poll_data(cx)) {
                Some(Ok(data)) => this.ahead = data,
                // A server that wants no more says so by a reset, after it has said all itself (RFC 9113 §8.1).
                Some(Err(error)) if error.reason() != Some(Reason::NO_ERROR) => {
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                Some(Err(_)) | None => return Poll::Ready(Ok(())),
            }
        }
        let taken = this.ahead.len().min(buf.remaining());
        buf.put_slice(this.ahead.get(..taken).unwrap_or_default());
        this.ahead.advance(taken);
        // Only what was read makes room for more: an upstream cannot fill our memory for a caller that reads slowly.
        Poll::Ready(this.receive.flow_control().release_capacity(taken).map_err(io::Error::other))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(buf.len().min(PIECE), cx))?;
        let piece = Bytes::copy_from_slice(buf.get(..room).unwrap_or_default());
        self.send.send_data(piece, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(room))
    }

    /// What was handed over is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_all {
            self.said_all = true;
            self.send.send_data(Bytes::new(), true).map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn was_reset(reason: Reason) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, h2::Error::from(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(fields: &[(&str, &str)]) -> (Option<Wish>, Request<()>) {
        let mut request = Request::new(());
        for (name, value) in fields {
            request
                .headers_mut()
                .append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        (Wish::take(&mut request), request)
    }

    #[test]
    fn an_upgrade_becomes_an_extended_connect() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (wished, request) = wish(&[("upgrade", "WebSocket, chat"), key, ("sec-websocket-version", "13")]);
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
        let mut answer = http::Response::new(()).into_parts().0;
        assert!(wished.unwrap().grant(&mut answer));
        assert_eq!(answer.status, 101);
        assert_eq!(answer.headers[UPGRADE], "websocket");
        assert_eq!(answer.headers[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_wishes_nothing_stays_what_it_was() {
        let (wished, request) = wish(&[("x", "y")]);
        assert!(wished.is_none());
        assert_eq!(request.method(), Method::GET);
    }

    #[test]
    fn a_refusal_passes_as_it_is() {
        let (wished, _) = wish(&[("upgrade", "SPDY/3.1")]);
        let mut answer = http::Response::builder().status(403).body(()).unwrap().into_parts().0;
        assert!(!wished.unwrap().grant(&mut answer));
        assert_eq!((answer.status.as_u16(), answer.headers.len()), (403, 0));
    }
}
