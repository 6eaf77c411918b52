//! An answer's body as it comes, whichever HTTP brings it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::{Frame, SizeHint};

use super::http1::Http1Error;

/// What went wrong with HTTP on an upstream's connection.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// HTTP/1.
    #[error("{0}")]
    Http1(#[from] Http1Error),
    /// HTTP/2. A source of its own, so that a caller's stream is reset for the same reason.
    #[error("HTTP/2 failed")]
    Http2(#[from] h2::Error),
}

#[derive(Debug)]
pub(super) enum Incoming {
    /// It is read from its connection.
    Http1,
    Http2(Box<Streamed>),
    /// None: the stream is no longer HTTP.
    Switched,
}

/// The body on a stream of HTTP/2.
#[derive(Debug)]
pub(super) struct Streamed {
    stream: RecvStream,
    /// What is still to come, where the answer said how much it is.
    left: Option<u64>,
    data_ended: bool,
}

impl Streamed {
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let left = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, left, data_ended: false }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    // Whoever took it has room for more.
                    self.stream.flow_control().release_capacity(data.len())?;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(self.end(error)),
                None => self.data_ended = true,
            }
        }
        match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(self.end(error)),
        }
    }

    /// A server that has said everything and wants no more of the request says so by a reset (RFC 9113 §8.1). h2 tells of one behind the
    /// end of the stream only after that; of one before it, nothing but the length says that all has come. Where it has not, the caller
    /// must not hear of a reset without an error either.
    fn end(&self, error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
        if !error.is_reset() || error.reason() != Some(Reason::NO_ERROR) {
            return Some(Err(error));
        }
        let is_whole = self.left == Some(0);
        (!is_whole).then(|| Err(Reason::INTERNAL_ERROR.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::{Request, Response};
    use tokio::sync::oneshot;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// What comes of an answer that says `declared`, of which three bytes come, and which then ends, or does not, before it is reset
    /// with NO_ERROR. The request has not ended by then.
    async fn read(declared: Option<u32>, ends: bool) -> Result<usize, h2::Error> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (read_it, is_read) = oneshot::channel::<()>();
        spawn_local(async move {
            let mut connection = h2::server::handshake(theirs).await.unwrap();
            let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
            let answer = Response::builder();
            let answer = match declared {
                Some(length) => answer.header(CONTENT_LENGTH, length),
                None => answer,
            };
            let mut stream = respond.send_response(answer.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"abc"), ends).unwrap();
            spawn_local(async move {
                // A reset overtakes what has not been written.
                is_read.await.unwrap();
                stream.send_reset(Reason::NO_ERROR);
            });
            while connection.accept().await.is_some() {}
        });
        let (mut client, connection) = h2::client::handshake(ours).await.unwrap();
        spawn_local(connection);
        let (answer, _unended) = client.send_request(Request::new(()), false).unwrap();
        let (head, stream) = answer.await.unwrap().into_parts();
        let mut body = Streamed::new(stream, &head.headers);
        let mut next = async || poll_fn(|cx| body.poll_frame(cx)).await.transpose();
        let mut bytes = next().await?.map_or(0, |frame| frame.into_data().unwrap().len());
        read_it.send(()).unwrap();
        while let Some(frame) = next().await? {
            bytes += frame.into_data().unwrap().len();
        }
        Ok(bytes)
    }

    /// RFC 9113 §8.1.
    #[tokio::test]
    async fn a_reset_without_error_ends_well_only_what_is_whole() {
        let check = async |declared, ends, is_whole: bool| {
            let got = read(declared, ends).await;
            assert_eq!(got.as_ref().ok(), is_whole.then_some(&3), "{declared:?} {ends}: {got:?}");
            let reason = got.err().and_then(|error| error.reason());
            assert_eq!(reason, (!is_whole).then_some(Reason::INTERNAL_ERROR), "{declared:?} {ends}");
        };
        let all = async {
            check(None, true, true).await;
            check(Some(3), true, true).await;
            check(Some(3), false, true).await;
            check(Some(4), false, false).await;
            check(None, false, false).await;
        };
        LocalSet::new().run_until(all).await;
    }
}
