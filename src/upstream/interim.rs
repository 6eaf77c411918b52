//! Interim answers (1xx, RFC 9110 §15.2): whoever sent the request is told of each, whichever HTTP brings it.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, ready};

use h2::RecvStream;
use h2::client::ResponseFuture;
use http::{Request, Response, StatusCode};

/// More than anybody means. Those of HTTP/1 are limited by their length.
const LIMIT: usize = 100;

/// In a request's extensions: what to call.
#[derive(Clone)]
pub(super) struct OnInterim(Arc<dyn Fn(StatusCode) + Send + Sync>);

/// Has `tell` called with the status of every interim answer to the request.
pub fn on_interim<B>(request: &mut Request<B>, tell: impl Fn(StatusCode) + Send + Sync + 'static) {
    request.extensions_mut().insert(OnInterim(Arc::new(tell)));
}

impl OnInterim {
    /// Takes it out of a request.
    pub(super) fn take<B>(request: &mut Request<B>) -> Option<Self> {
        request.extensions_mut().remove()
    }

    /// Calls it.
    pub(super) fn tell(&self, status: StatusCode) {
        (self.0)(status);
    }
}

/// Waits for the real answer; `None` if interim ones come without end.
pub(super) async fn past(
    mut answer: ResponseFuture,
    on_interim: Option<OnInterim>,
) -> Result<Option<Response<RecvStream>>, h2::Error> {
    let mut count = 0;
    loop {
        // An error is told again by the answer itself.
        let next = std::future::poll_fn(|cx| Poll::Ready(ready!(answer.poll_informational(cx)).and_then(Result::ok)));
        let Some(interim) = next.await else { break };
        count += 1;
        if count > LIMIT {
            return Ok(None);
        }
        if let Some(on_interim) = &on_interim {
            on_interim.tell(interim.status());
        }
    }
    answer.await.map(Some)
}

impl fmt::Debug for OnInterim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnInterim")
    }
}
