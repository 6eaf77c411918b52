//! The thread on which the demo's two servers run, and the few lines of HTTP that both need.
//!
//! They have a thread of their own so that nothing they do can slow bearerd, and nothing bearerd does can slow
//! them: what the story measures is bearerd.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::{Builder, LocalOptions};

use super::api::Api;
use super::authorization_server::AuthorizationServer;
use crate::shutdown::{self, Shutdown, Trigger};

/// The longest request body that either server reads.
const BODY_LIMIT: usize = 256 * 1024;

/// The answers of both servers: small and whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// The authorization server and the API, listening. Dropping it stops both.
#[derive(Debug)]
pub(super) struct Servers {
    /// Where the authorization server listens.
    pub(super) authorization_server: SocketAddr,
    /// Where the API listens.
    pub(super) api: SocketAddr,
    stop: Trigger,
    thread: Option<JoinHandle<()>>,
}

/// Answers requests. Implemented by both servers.
pub(super) trait Handler: Clone + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answer>;
}

impl Servers {
    /// Binds both to loopback (port 0: any free one) and serves them on a new thread.
    ///
    /// # Errors
    /// If a port is taken or the thread cannot be started.
    pub(super) fn start(
        (authorization_server, its_port): (AuthorizationServer, u16),
        (api, api_port): (Api, u16),
    ) -> io::Result<Self> {
        let first = bind(its_port)?;
        let second = bind(api_port)?;
        let (stop, stopped) = shutdown::channel();
        let mut servers =
            Self { authorization_server: first.local_addr()?, api: second.local_addr()?, stop, thread: None };
        let runtime_thread = std::thread::Builder::new().name("demo-servers".to_owned());
        servers.thread = Some(runtime_thread.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    tokio::join!(
                        serve(first, authorization_server, stopped.clone()),
                        serve(second, api, stopped.clone())
                    );
                }),
                Err(error) => tracing::error!(%error, "the demo's servers cannot start"),
            }
        })?);
        Ok(servers)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.fire();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been printed already, and nothing is left to be done about it.
            let _ = thread.join();
        }
    }
}

/// A plain text answer; ends in a newline, as a person at a terminal likes it.
pub(super) fn text(status: StatusCode, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{}\n", text.trim_end()))
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    answer(status, "application/json", format!("{value}\n"))
}

/// 405, naming what is allowed (RFC 9110 §15.5.6).
pub(super) fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allowed} here"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// The whole body of a request; `None` if it is too long or broken off.
pub(super) async fn read_body(body: Incoming) -> Option<Bytes> {
    Some(Limited::new(body, BODY_LIMIT).collect().await.ok()?.to_bytes())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on 127.0.0.1:{port}: {error}")))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(listener: TcpListener, handler: impl Handler, mut stopped: Shutdown) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the demo's servers cannot listen"),
    };
    let handler = Rc::new(handler);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped.fired() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let handler = Rc::clone(&handler);
                tokio::task::spawn_local(async move {
                    let service = service_fn(|request| async { Ok::<_, Infallible>(handler.answer(request).await) });
                    let connection =
                        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
                    // Callers come and go; a connection that breaks is their affair.
                    let _ = connection.await;
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: there will be some when a connection ends.
                tracing::warn!(%error, "the demo's server cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::authorization_server::Rules;
    use super::super::client::{Caller, Figures, Load};
    use super::*;

    fn on_stage<F: Future<Output = ()>>(play: impl FnOnce(Servers) -> F) {
        let rules = Rules {
            own_client_id: "own".to_owned(),
            client_id: "demo".to_owned(),
            client_secret: "secret".to_owned(),
            lifetime: Duration::from_secs(10),
            delay: Duration::ZERO,
        };
        let authorization_server = AuthorizationServer::new(rules);
        let api = Api::new(authorization_server.clone());
        let servers = Servers::start((authorization_server, 0), (api, 0)).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(play(servers));
    }

    #[test]
    fn both_servers_answer_on_connections_that_stay_open() {
        on_stage(async |servers| {
            let mut caller = Caller::new(servers.authorization_server);
            let mut check = async |method: Method, path: &str, status: u16, says: &str| {
                let answer = caller.call(method, path, Bytes::new()).await.unwrap();
                let body = String::from_utf8(answer.body.to_vec()).unwrap();
                assert_eq!(answer.status.as_u16(), status, "{path}: {body}");
                assert!(body.contains(says), "{path}: {body}");
            };
            check(Method::GET, "/", 200, "outage off").await;
            check(Method::POST, "/outage/on", 200, "outage on").await;
            check(Method::GET, "/", 200, "outage on").await;
            check(Method::POST, "/oauth/token", 503, "outage").await;
            check(Method::POST, "/outage/off", 200, "outage off").await;
            check(Method::POST, "/oauth/token", 401, "invalid_client").await;
            check(Method::POST, "/revoke-all", 200, "revoked 0 tokens").await;
            check(Method::GET, "/revoke-all", 405, "only POST").await;
            check(Method::GET, "/elsewhere", 404, "nothing here").await;
        });
    }

    #[test]
    fn a_load_without_tokens_is_all_trouble() {
        on_stage(async |servers| {
            let load = Load::start(servers.api, "/items", 3, Duration::from_millis(1));
            while load.so_far() < 30 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let figures = Figures::of(&load.stop().await);
            assert!(figures.total >= 30);
            assert_eq!(figures.trouble().unwrap(), format!("{} x 401", figures.total));
        });
    }

    #[test]
    fn dropping_the_servers_closes_their_ports() {
        on_stage(async |servers| {
            let address = servers.api;
            drop(servers);
            assert!(Caller::new(address).fetch("/").await.is_err());
        });
    }
}
