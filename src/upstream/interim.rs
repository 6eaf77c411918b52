//! Interim answers (1xx, RFC 9110 §15.2): whoever sent the request is told of each, whichever HTTP brings it.

use std::fmt;
use std::rc::Rc;
use std::task::{Poll, ready};

use h2::RecvStream;
use h2::client::ResponseFuture;
use http::{Response, StatusCode};

/// More than anybody means. Those of HTTP/1 are limited by their length.
const LIMIT: usize = 100;

/// What to call with the status of every interim answer.
#[derive(Clone)]
pub struct OnInterim(Rc<dyn Fn(StatusCode)>);

impl OnInterim {
    /// Has `tell` called.
    pub fn new(tell: impl Fn(StatusCode) + 'static) -> Self {
        Self(Rc::new(tell))
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
