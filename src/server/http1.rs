//! HTTP/1 with a caller: served by hyper behind our own framing; after a 101 the stream is handed over.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::task::Poll;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::Refusal;
use super::connection::{ConnectionInfo, Handler, Takeover};
use super::framing::{Activity, Framed, Watched};
use crate::reason::Reason;
use crate::shutdown::Shutdown;
use crate::tunnel::{Ahead, Duplex};

/// What hyper may take more than we let through: it must never be the one who refuses.
const HEAD_SLACK: usize = 1024;

/// What waits for the caller to read it, and the longest single read of a body, in bytes; hyper's own 400 KiB are much for
/// thousands of callers that do not read.
const BUFFER: usize = 64 * 1024;

/// As what a connection is counted whose answer nobody takes.
const UNREAD: Refusal =
    Refusal::new(Reason::AnswerUnread, "nothing of the answer was read for timeouts.response_unread");

/// Serves requests one after the other. Returns the stream if no request comes for a while: what hyper keeps for the next one,
/// and for nothing, is then free.
pub(super) async fn serve<H: Handler, S: Duplex + 'static>(
    stream: Framed<S>,
    info: Rc<ConnectionInfo>,
    handler: Rc<H>,
    mut draining: Shutdown,
) -> Option<Framed<S>> {
    let activity = stream.activity();
    activity.serving_began();
    let head = stream.settings().head;
    let takeover: RefCell<Option<Takeover>> = RefCell::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, info) = (Rc::clone(&handler), Rc::clone(&info));
        let busy = activity.request_began();
        let (takeover, activity) = (&takeover, &activity);
        async move {
            let mut request = request.map(|body| Watched::new(body, Rc::clone(&busy)));
            if let Some(spelling) = activity.take_spelling() {
                request.extensions_mut().insert(spelling);
            }
            let answer = handler.handle(info, request).await;
            if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS && answer.then.is_some() {
                *takeover.borrow_mut() = answer.then;
                activity.switch();
            }
            Ok::<_, Infallible>(answer.response.map(|body| Watched::new(body, busy)))
        }
    });
    let spells = handler.wants_spelling();
    let mut connection = http1::Builder::new()
        // The timers are ours (`framing`); hyper has one for two purposes.
        .header_read_timeout(None)
        .max_header_size(head + HEAD_SLACK)
        .title_case_headers(spells)
        .max_buf_size(BUFFER.max(head + HEAD_SLACK))
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        // Polled after the connection, which finds out.
        () = rest(&activity) => return Some(connection.into_parts().io.into_inner()),
        () = drain(&mut draining, &activity) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(%error, peer = %info.peer, "connection of a caller ended");
    }
    let stream = connection.into_parts().io.into_inner();
    match takeover.take() {
        Some(takeover) if ended.is_ok() => {
            let (stream, held) = stream.into_parts();
            takeover(Box::new(Ahead::new(stream.into_inner(), held))).await;
        }
        _ => {
            complain_of_unread(&activity, &info, &*handler);
            finish(stream, &info, &*handler).await;
        }
    }
    None
}

/// Ready when nothing is being served, and nothing of an answer is left to be written.
async fn rest(activity: &Activity) {
    std::future::poll_fn(|_| if activity.take_rest() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Counts a connection that ended because its caller took nothing of an answer.
pub(super) fn complain_of_unread<H: Handler>(activity: &Activity, info: &ConnectionInfo, handler: &H) {
    if activity.is_unread() {
        tracing::debug!(code = %UNREAD.reason, detail = UNREAD.detail, peer = %info.peer, "connection ended");
        // Nobody reads another answer either.
        let _ = handler.refuse(info, UNREAD, false);
    }
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

/// Ready when draining and not within a head: a request that has begun to come is still served.
pub(super) async fn drain(draining: &mut Shutdown, activity: &Activity) {
    draining.fired().await;
    // Polled after the connection, whose progress is what changes this.
    std::future::poll_fn(|_| if activity.is_in_head() { Poll::Pending } else { Poll::Ready(()) }).await;
}
