//! How a connection ends: with a refusal or without, and never so that its caller loses what it was told.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::super::Refusal;
use super::Framed;
use crate::reason::Reason;

/// How long a refused caller may pause while what it still sends is thrown away, so that it comes to read the refusal.
pub(super) const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// How long that may go on.
const LINGER_TIME: Duration = Duration::from_secs(30);

/// Why nothing more is read.
#[derive(Debug)]
pub(super) enum End {
    /// Idle for too long: nothing to say.
    Silent,
    /// Refused, in place of an answer.
    Refused { refusal: Refusal, is_head_method: bool },
    /// Refused within a body; whoever reads the body gives the answer.
    Broken(Refusal),
}

impl<S> Framed<S> {
    /// Whether the caller may still be sending what nobody will read.
    fn lingers(&self) -> bool {
        match &self.end {
            // Its silence is why it ends.
            Some(End::Refused { refusal, .. }) if refusal.reason == Reason::HeadTimeout => false,
            Some(End::Refused { .. } | End::Broken(_)) => true,
            Some(End::Silent) => false,
            None if self.activity.is_given_up() => false,
            None => !self.held.is_empty() || !(self.message.is_over() || self.message.is_in_head()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Ends the connection: says why it was refused, if it was, and waits until the caller can have read that.
    pub(in crate::server) async fn finish(mut self, document: impl FnOnce(Refusal, bool) -> Bytes) {
        let until = Instant::now() + LINGER_TIME;
        let lingers = self.lingers();
        let said = match self.end {
            Some(End::Refused { refusal, is_head_method }) => document(refusal, is_head_method),
            _ => Bytes::new(),
        };
        self.held = BytesMut::new();
        let mut stream = self.stream;
        let said = timeout_at(until, async {
            stream.write_all(&said).await?;
            stream.shutdown().await
        });
        if matches!(said.await, Ok(Ok(()))) && lingers {
            linger(stream, until).await;
        }
    }
}

/// Throws away what still comes. Closing a socket with unread bytes resets it, and the caller would lose the answer.
async fn linger(mut stream: impl AsyncRead + Unpin, until: Instant) {
    let mut bytes = [0; 1024];
    loop {
        let pause = until.min(Instant::now() + LINGER_PAUSE);
        match timeout_at(pause, stream.read(&mut bytes)).await {
            Ok(Ok(1..)) if Instant::now() < until => (),
            _ => return,
        }
    }
}
