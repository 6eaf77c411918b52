//! HTTP/2 with a caller: many requests at once on one connection, within limits that hold off floods.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, timeout};

use super::connection::{ConnectionInfo, Ends, Handler};
use super::framing::{Activity, Framed, Watched};
use super::http1;
use super::offence::Kept;
use super::stuck::Streams;
use super::switched::{self, Tasks};
use super::turns::Turns;
use crate::tunnel::{Ahead, Duplex};

/// Requests that one connection may have under way.
const STREAM_LIMIT: u32 = 100;
/// What a caller may send of one body before we have read it, in bytes.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same for all bodies together: none that stands still may hold up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAM_LIMIT;
/// What waits of one answer until the connection takes it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that may be reset before anybody has looked at them (CVE-2023-44487, "rapid reset"), which is to say within one of [`Turns`].
pub(super) const PENDING_RESETS: usize = 20;
/// Streams that we may have had to reset for a caller's mistakes, in the connection's life (CVE-2025-8671, "MadeYouReset").
const ERROR_RESETS: usize = 1024;
/// How often a silent caller is asked whether it is still there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(20);
/// How long a connection lives on after it was told to end while nothing was under way.
const LINGER: Duration = Duration::from_secs(5);
/// How long a connection is served in any case that begins when callers are already asked to go elsewhere: who cannot, comes back.
const WELCOME: Duration = Duration::from_secs(1);

/// Serves requests until the caller ends the connection, it has idled for `keep_alive`, or a drain has let the last one finish.
pub(super) async fn serve<H: Handler, S: Duplex + 'static>(
    stream: Framed<S>,
    info: Rc<ConnectionInfo>,
    handler: Rc<H>,
    ends: Ends,
) {
    let (settings, activity) = (*stream.settings(), stream.activity());
    let (stream, read) = stream.into_parts();
    let socket = Kept::new(stream);
    let stream = Turns::new(Ahead::new(socket.share(), read));
    let progress = stream.progress();
    let (requests, serving, caller) = (Rc::clone(&activity), Rc::clone(&handler), Rc::clone(&info));
    let (counting, whose) = (Rc::clone(&handler), Rc::clone(&info));
    let streams = Streams::new(settings.response_unread, move || http1::count_unread(&whose, &*counting));
    let tasks = Tasks::new(Rc::clone(&streams));
    let starting = tasks.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (handler, info, tasks) = (Rc::clone(&serving), Rc::clone(&caller), starting.clone());
        let (progress, streams) = (Rc::clone(&progress), Rc::clone(&streams));
        progress.request_began();
        let busy = requests.request_began();
        let connect = (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
        async move {
            // What a flood begins and gives up at once ("rapid reset") costs the reading of it, and nothing at an upstream.
            progress.caught_up().await;
            let request = request.map(|body| Watched::new(body, Rc::clone(&busy)).into());
            let answer = handler.handle(info, request).await;
            if let (Some(connect), Some(takeover)) = (connect, answer.then) {
                let writer = tasks.tell_next();
                tokio::task::spawn_local(switched::run(connect, writer, takeover, Rc::clone(&busy)));
            }
            Ok::<_, Infallible>(answer.response.map(|body| Watched::new(streams.hand_over(body), busy)))
        }
    });
    let (draining, waiting) = (ends.draining.clone(), Rc::clone(&activity));
    let ended = async move {
        let mut connection = std::pin::pin!(
            http2::Builder::new(tasks)
                .enable_connect_protocol()
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAM_LIMIT)
                .max_header_list_size(u32::try_from(settings.head).unwrap_or(u32::MAX))
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .max_pending_accept_reset_streams(PENDING_RESETS)
                .max_local_error_reset_streams(ERROR_RESETS)
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = told_to_go(ends) => {
                // GOAWAY (RFC 9113 §6.8): what is under way ends, nothing new begins.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = idle_for(&waiting, settings.keep_alive) => {
                connection.as_mut().graceful_shutdown();
                timeout(LINGER, connection).await.unwrap_or(Ok(()))
            }
        }
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, peer = %info.peer, "connection of a caller ended");
        socket.rest(&error, settings.connections, draining).await;
    }
    http1::complain_of_unread(&activity, &info, &*handler);
}

/// Ends when nothing new is to begin.
async fn told_to_go(Ends { mut leaving, mut draining }: Ends) {
    let began = Instant::now();
    let leave = async {
        leaving.fired().await;
        tokio::time::sleep_until(began + WELCOME).await;
    };
    tokio::select! {
        () = leave => {}
        () = draining.fired() => {}
    }
}

/// Ends when nothing has been under way for this long.
async fn idle_for(activity: &Activity, patience: Option<Duration>) {
    let Some(patience) = patience else { return std::future::pending().await };
    loop {
        let since = activity.idle_since().unwrap_or_else(Instant::now);
        if since.elapsed() >= patience {
            return;
        }
        tokio::time::sleep_until(since + patience).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_idles_only_while_no_request_of_several_is_served() {
        let activity = Activity::new();
        let started = Instant::now();
        let (first, second) = (activity.request_began(), activity.request_began());
        let serve = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(first);
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(second);
        };
        tokio::join!(serve, idle_for(&activity, Some(Duration::from_secs(60))));
        assert_eq!(started.elapsed().as_secs(), 260);
    }
}
