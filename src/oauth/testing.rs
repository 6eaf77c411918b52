//! A scripted token endpoint: raw bytes over TCP, so that it can say what no HTTP library would.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::settings::{Endpoint, Settings};
pub(super) use super::smallest::settings;
use super::{FetchError, Grant, Issued, TokenEndpoint};
use crate::clock::Clock;
use crate::tls::{self, ClientSettings};
use crate::upstream::Ways;

/// What the scripted endpoint does once it has read a request.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<u8>),
    /// Writes the bytes one by one, with a pause after each, until the client is gone.
    Drip(Vec<u8>),
    /// Writes the bytes again and again until the client is gone.
    Flood(Vec<u8>),
    /// Says nothing until the client is gone.
    Hang,
    /// Ends with a reset and not in order.
    Reset,
}

/// A whole answer with a `Content-Length`.
pub(super) fn http(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    vec![Step::Write([head.as_bytes(), body].concat())]
}

pub(super) struct Scripted {
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Serves the same script to every connection.
    pub(super) async fn serve(script: Vec<Step>) -> Self {
        Self::serve_at(|_| script).await
    }

    /// The same for a script that speaks of the port.
    pub(super) async fn serve_at(script: impl FnOnce(u16) -> Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = script(port);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), Arc::clone(&seen));
                tokio::spawn(async move { answer(stream, &script, &seen).await });
            }
        });
        Self { port, requests }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// A token endpoint of the code under test that asks this one.
    pub(super) fn endpoint(&self, change: impl FnOnce(&mut Settings)) -> TokenEndpoint {
        let mut settings = settings();
        settings.endpoint = Endpoint::Given(format!("http://127.0.0.1:{}/token", self.port).parse().unwrap());
        change(&mut settings);
        endpoint(settings)
    }

    pub(super) async fn fetch(&self, change: impl FnOnce(&mut Settings)) -> Result<Issued, FetchError> {
        self.endpoint(change).fetch(Grant::Configured).await
    }
}

pub(super) fn endpoint(settings: Settings) -> TokenEndpoint {
    let tls = tls::Client::load(ClientSettings::default()).unwrap();
    let ways = Ways::new(tls, Duration::from_secs(20), None);
    TokenEndpoint::new(Arc::new(settings), ways, Clock::boot())
}

async fn answer(mut stream: TcpStream, script: &[Step], seen: &Mutex<Vec<String>>) {
    let Some(request) = read_request(&mut stream).await else { return };
    seen.lock().unwrap().push(request);
    for step in script {
        match step {
            Step::Write(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Step::Drip(bytes) => {
                for byte in bytes {
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Step::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
            Step::Hang => {
                let _ = stream.read(&mut [0; 1]).await;
            }
            Step::Reset => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
    let _ = stream.shutdown().await;
    let _ = stream.read(&mut [0; 1]).await;
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}
