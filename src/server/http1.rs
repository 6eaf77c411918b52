//! HTTP/1 with a caller: one request after the other, and the stream itself after a 101.
//!
//! Spoken by ourselves, like that with upstreams: `framing` reads every head and follows every body anyway, and what is left, to write
//! answers, costs less than to hand everything through one more state machine.

mod answer;
mod request;
mod wire;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::connection::{ConnectionInfo, Ends, Handler, Takeover};
use super::framing::{Activity, Framed, Opened};
use super::{CallerBody, Refusal};
use crate::http1::outgoing::{Outgoing, Unsent};
use crate::reason::Reason;
use crate::spelling::Spelling;
use crate::tunnel::{Ahead, Duplex};
use answer::After;
use request::Asked;
pub(super) use wire::{Wire, WireBody};

/// The request of a judged head.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn request_of(head: &bytes::Bytes, places: &super::framing::Places) -> Result<Request<()>, Refusal> {
    request::read(head, places).map(|(request, _)| request)
}

/// As what an answer is counted that nobody takes.
const UNREAD: Refusal =
    Refusal::new(Reason::AnswerUnread, "nothing of the answer was read for timeouts.response_unread");

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// No request has come for a while.
    Resting,
    /// The connection is over.
    Ended,
}

/// Serves requests one after the other, the first of which has a whole head. Ends, too, if no request comes for a while: what
/// serving takes of memory is then free.
pub(super) async fn serve<H: Handler, S: Duplex + 'static>(
    wire: Rc<Wire<S>>,
    info: Rc<ConnectionInfo>,
    handler: Rc<H>,
    ends: Ends,
) -> Served {
    let activity = wire.activity();
    let mut ending = ends.clone();
    let mut drained = pin!(drain(&mut ending, &activity));
    let mut outgoing = Outgoing::answer();
    let takeover = loop {
        activity.serving_began();
        let Some((request, asked)) = next(&wire, &*handler) else { break None };
        let answer = tokio::select! {
            biased;
            answer = handler.handle(Rc::clone(&info), request) => answer,
            () = poll_fn(|cx| wire.poll_hang_up(cx)) => break None,
        };
        // Who was not invited to send a body may send it all the same, or not: nobody can tell what comes next.
        let closes = wire.withdraw_invitation() || ends.leaving.is_fired() || ends.draining.is_fired();
        let switches = answer.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let after = answer::begin(&mut outgoing, answer.response, &asked, closes, handler.wants_spelling());
        let written = poll_fn(|cx| match outgoing.poll(&mut wire.writer(), cx) {
            Poll::Pending => wire.poll_hang_up(cx).map(|()| Err(Unsent::Unread)),
            written => written,
        });
        if let Err(error) = written.await {
            tracing::debug!(error = %crate::log::chain(&error), peer = %info.peer, "connection of a caller ended");
            break None;
        }
        if let Some(takeover) = answer.then.filter(|_| switches) {
            break Some(takeover);
        }
        let may_follow = poll_fn(|cx| wire.poll_settled(cx)).await;
        if !may_follow || after == After::Closes {
            break None;
        }
        activity.serving_ended();
        let opened = tokio::select! {
            biased;
            opened = poll_fn(|cx| wire.poll_opened(true, cx)) => opened,
            // Polled after the stream, which finds out.
            () = &mut drained => break None,
        };
        match opened {
            Ok(Opened::Http1) => (),
            Ok(Opened::Resting) => return Served::Resting,
            Ok(Opened::Http2 | Opened::Nothing) => break None,
            Err(error) => {
                tracing::debug!(%error, peer = %info.peer, "connection of a caller ended");
                break None;
            }
        }
    };
    drop(outgoing);
    end(&wire, takeover, &info, &*handler).await;
    Served::Ended
}

/// The request whose head is there; `None` if it was refused.
fn next<H: Handler, S: Duplex + 'static>(wire: &Rc<Wire<S>>, handler: &H) -> Option<(Request<CallerBody>, Asked)> {
    let (head, places, length) = wire.take_head()?;
    match request::read(&head, &places) {
        Ok((mut request, asked)) => {
            if handler.wants_spelling() {
                request.extensions_mut().insert(Spelling::of_head(&head));
            }
            let body = wire.lend_body(length, asked.expects);
            Some((request.map(|()| body), asked))
        }
        Err(refusal) => {
            wire.turn_away(refusal);
            None
        }
    }
}

/// What follows the last answer: another protocol, or the end.
async fn end<H: Handler, S: Duplex + 'static>(
    wire: &Wire<S>,
    takeover: Option<Takeover>,
    info: &ConnectionInfo,
    handler: &H,
) {
    let activity = wire.activity();
    let Some(stream) = wire.take_framed() else { return };
    match takeover {
        Some(takeover) => {
            let (stream, held) = stream.into_parts();
            takeover(Box::new(Ahead::new(stream.into_inner(), held))).await;
        }
        None => {
            complain_of_unread(&activity, info, handler);
            finish(stream, info, handler).await;
        }
    }
}

/// Counts a connection that ended because its caller took nothing of an answer.
pub(super) fn complain_of_unread<H: Handler>(activity: &Activity, info: &ConnectionInfo, handler: &H) {
    if activity.is_unread() {
        count_unread(info, handler);
    }
}

/// Counts an answer of which its caller took nothing: its connection ends, or its stream.
pub(super) fn count_unread<H: Handler>(info: &ConnectionInfo, handler: &H) {
    tracing::debug!(code = %UNREAD.reason, detail = UNREAD.detail, peer = %info.peer, "an answer was given up");
    // Nobody reads another answer either.
    let _ = handler.refuse(info, UNREAD, false);
}

/// Ends a connection, with an answer if it was refused.
pub(super) async fn finish<H: Handler, S: Duplex>(stream: Framed<S>, info: &ConnectionInfo, handler: &H) {
    let finishing = stream.finish(|refusal, is_head_method| {
        tracing::debug!(code = %refusal.reason, detail = refusal.detail, peer = %info.peer, "refused");
        handler.refuse(info, refusal, is_head_method)
    });
    // In a box, so that a connection that goes on does not take the memory for its end.
    Box::pin(finishing).await;
}

/// How long a caller that was served may take to ask again when we leave: it does not know yet.
const ASKS_AGAIN: Duration = Duration::from_millis(250);
/// How long it takes at least until the runtime has told us of what has come already.
const HEARD: Duration = Duration::from_millis(10);

/// Ready when draining and not within a head: a request that has begun to come is still served, and so is one that comes when its
/// caller could not know.
pub(super) async fn drain(ends: &mut Ends, activity: &Activity) {
    ends.draining.fired().await;
    // Who is to end for another reason may be one that is not to be served any more.
    if ends.leaving.is_fired()
        && let Some(since) = activity.idle_since()
    {
        let last = (since + ASKS_AGAIN).max(Instant::now() + HEARD);
        // In a box, so that idle connections do not take the memory for it.
        Box::pin(sleep_until(last)).await;
    }
    // Polled after the connection, whose progress is what changes this.
    poll_fn(|_| if activity.is_in_head() { Poll::Pending } else { Poll::Ready(()) }).await;
}
