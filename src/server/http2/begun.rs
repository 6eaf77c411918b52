//! A request's body over HTTP/2 whose beginning is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::server::framing::Watched;
use crate::server::turns::Progress;

/// How long a caller must be silent until its request goes on without its body having begun.
const SILENCE: Duration = Duration::from_millis(5);
/// How often that may begin anew because the caller says something else.
const SILENCES: usize = 10;

/// The body, and what has been read of it already.
#[derive(Debug)]
pub(in crate::server) struct Begun<B = Incoming>
where
    B: Body<Data = Bytes>,
{
    first: Option<Result<Frame<Bytes>, B::Error>>,
    body: Watched<B>,
}

impl<B: Body<Data = Bytes> + Unpin> Begun<B> {
    /// Waits until the body begins or ends, or its caller falls silent. Who begins requests by the hundred and sends none of their
    /// bodies is told off by then, and no upstream has heard of them.
    pub(in crate::server) async fn wait(mut body: Watched<B>, progress: &Progress) -> Self {
        if body.is_end_stream() {
            return Self { first: None, body };
        }
        let silent = async {
            for _ in 0..SILENCES {
                let reads = progress.reads();
                tokio::time::sleep(SILENCE).await;
                if progress.reads() == reads {
                    return;
                }
            }
        };
        let first = tokio::select! {
            biased;
            first = body.frame() => first,
            () = silent => None,
        };
        Self { first, body }
    }

    /// It goes on as it is, without being waited for.
    pub(in crate::server) fn at_once(body: Watched<B>) -> Self {
        Self { first: None, body }
    }

    /// Says that the caller has been waited for long enough: its connection ends as soon as its answer is written.
    pub(in crate::server) fn give_up(&self) {
        self.body.give_up();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Begun<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.first.take() {
            None => Pin::new(&mut self.body).poll_frame(cx),
            first => Poll::Ready(first),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let read =
            self.first.as_ref().and_then(|first| first.as_ref().ok()).and_then(Frame::data_ref).map_or(0, Bytes::len);
        let read = u64::try_from(read).unwrap_or(0);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint.set_lower(hint.lower().saturating_add(read));
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::rc::Rc;

    use http_body_util::Full;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::server::framing::Activity;

    /// A body of what is sent there.
    struct Pieces(mpsc::UnboundedReceiver<&'static str>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
        }
    }

    fn body() -> (mpsc::UnboundedSender<&'static str>, Watched<Pieces>) {
        let (sender, pieces) = mpsc::unbounded_channel();
        (sender, Watched::new(Pieces(pieces), Activity::new().request_began()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_waited_for_comes_first_and_counts_in_the_length() {
        let (sender, body) = body();
        for piece in ["one ", "two"] {
            sender.send(piece).unwrap();
        }
        drop(sender);
        let began = Instant::now();
        let body = Begun::wait(body, &Progress::default()).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(body.size_hint().lower(), 4);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one two");
        let full = Watched::new(Full::new(Bytes::from("seven")), Activity::new().request_began());
        let full = Begun::wait(full, &Progress::default()).await;
        assert_eq!(full.size_hint().exact(), Some(5));
        assert!(!full.is_end_stream());
        assert_eq!(full.collect().await.unwrap().to_bytes(), "seven");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_falls_silent_is_not_waited_for_long() {
        let (_sender, silent) = body();
        let began = Instant::now();
        Begun::wait(silent, &Progress::default()).await;
        assert_eq!(began.elapsed(), SILENCE);
        // One that says other things is listened to a little longer.
        let (_sender, busy) = body();
        let progress = Rc::new(Progress::default());
        let began = Instant::now();
        let mut wait = std::pin::pin!(Begun::wait(busy, &progress));
        while poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending())).await {
            progress.moved_on();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(began.elapsed().as_millis() / 5, SILENCES as u128);
    }
}
