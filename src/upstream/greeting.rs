//! The first bytes of an HTTP/2 upstream, which are its SETTINGS (RFC 9113 §3.4): from then on it is known how many streams it
//! allows.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

use super::connect::Stream;
use crate::delegate::writes_to;

/// Whether they have come.
#[derive(Debug, Default)]
pub(super) struct Greeted {
    heard: Cell<bool>,
    told: Notify,
}

/// A stream that notes its first bytes.
#[derive(Debug)]
pub(super) struct Greeting {
    stream: Stream,
    greeted: Rc<Greeted>,
}

impl Greeted {
    pub(super) fn is_heard(&self) -> bool {
        self.heard.get()
    }

    /// Waits for them. Polled only after whoever reads the stream has understood what came.
    pub(super) async fn wait(&self) {
        self.told.notified().await;
    }
}

impl Greeting {
    pub(super) fn new(stream: Stream, greeted: Rc<Greeted>) -> Self {
        Self { stream, greeted }
    }
}

impl AsyncRead for Greeting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if !self.greeted.heard.replace(true) {
            self.greeted.told.notify_waiters();
        }
        Poll::Ready(read)
    }
}

writes_to!(Greeting, stream);
