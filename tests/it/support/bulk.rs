//! Large bodies: random, the same each time, never in memory as a whole, hashed at both ends.
//!
//! The ends speak HTTP/1 as bytes, or HTTP/2 by hyper, at the speed of loopback.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::client::read_response_head;
use super::upstream::{After, Upstream};
use super::wire::{Framing, Wire};

/// How much is made at a time.
const PIECE: usize = 256 << 10;
/// What each end of HTTP/2 takes at a time, so that the windows do not slow it down.
const WINDOW: u32 = 4 << 20;

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Down,
    Up,
}

/// Which HTTP an end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// A body that is being made or has come: its bytes so far, hashed.
struct Sum {
    context: ring::digest::Context,
    length: u64,
}

impl Sum {
    fn new() -> Self {
        Self { context: ring::digest::Context::new(&ring::digest::SHA256), length: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn told(self) -> String {
        let digest = self.context.finish();
        let hash: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} bytes, SHA-256 {hash}", self.length)
    }
}

/// The body of this length: pseudo-random, so that no two pieces are alike.
struct Pieces {
    dice: fastrand::Rng,
    left: u64,
}

impl Pieces {
    fn new(length: u64) -> Self {
        Self { dice: fastrand::Rng::with_seed(length), left: length }
    }
}

impl Iterator for Pieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let size = usize::try_from(self.left.min(PIECE as u64)).ok().filter(|size| *size > 0)?;
        self.left -= size as u64;
        let mut piece = vec![0; size];
        self.dice.fill(&mut piece);
        Some(piece)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What whoever gets the body of this length must say of it.
pub(crate) fn expected(length: u64) -> String {
    let mut sum = Sum::new();
    Pieces::new(length).for_each(|piece| sum.add(&piece));
    sum.told()
}

/// Lets an HTTP/1 upstream hash what is sent to `/bulk/up`, and send this much at `/bulk/down`.
pub(crate) fn serve_http1(upstream: &Upstream, length: u64) {
    upstream.on("/bulk/up", |exchange| {
        let Framing::Length(length) = exchange.head.request_framing() else { return Ok(After::Close) };
        let told = sum_of(exchange.wire, length as u64)?;
        exchange.answer(200, &[("Connection", "close")], told).map(|_| After::Close)
    });
    upstream.on("/bulk/down", move |exchange| {
        exchange.wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"))?;
        Pieces::new(length).try_for_each(|piece| exchange.wire.send(piece))?;
        Ok(After::Close)
    });
}

/// The same with HTTP/2 by prior knowledge; it takes every token. Ends with the process.
pub(crate) fn serve_http2(length: u64) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| async move {
                let is_up = request.uri().path() == "/bulk/up";
                let body = if is_up {
                    let told = sum_of_body(request.into_body()).await?;
                    http_body_util::Either::Left(http_body_util::Full::new(Bytes::from(told)))
                } else {
                    http_body_util::Either::Right(Pieces::new(length))
                };
                Ok::<_, hyper::Error>(Response::new(body))
            });
            let mut builder = hyper::server::conn::http2::Builder::new(Here);
            builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
            let _ = stream.set_nodelay(true);
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    };
    std::thread::spawn(move || runtime().block_on(serve));
    address
}

/// Has a body of this length sent through bearerd; returns what whoever got it says of it.
pub(crate) fn transfer(caller: Version, address: SocketAddr, way: Way, length: u64) -> io::Result<String> {
    match caller {
        Version::Http1 => over_http1(address, way, length),
        Version::Http2 => runtime().block_on(over_http2(address, way, length)).map_err(io::Error::other),
    }
}

fn over_http1(address: SocketAddr, way: Way, length: u64) -> io::Result<String> {
    let mut wire = Wire::connect(address)?;
    match way {
        Way::Down => {
            wire.send(super::Request::get("/bulk/down").bytes(address))?;
            let head = read_response_head(&mut wire)?.expect(200);
            let announced = head.field("content-length").and_then(|length| length.parse().ok());
            match announced {
                Some(length) => sum_of(&mut wire, length),
                None => sum_of_chunks(&mut wire),
            }
        }
        Way::Up => {
            let head = super::Request::new("POST", "/bulk/up").field("Content-Length", &length.to_string());
            wire.send(head.head_bytes(address))?;
            Pieces::new(length).try_for_each(|piece| wire.socket().write_all(&piece))?;
            Ok(super::client::read_response(&mut wire, "POST")?.expect(200).text())
        }
    }
}

async fn over_http2(
    address: SocketAddr,
    way: Way,
    length: u64,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut builder = hyper::client::conn::http2::Builder::new(Here);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let (method, path, length) = match way {
        Way::Down => (Method::GET, "down", 0),
        Way::Up => (Method::POST, "up", length),
    };
    let uri = format!("http://{address}/bulk/{path}");
    let request = Request::builder().method(method).uri(uri).body(Pieces::new(length))?;
    let response = sender.send_request(request).await?;
    assert_eq!(response.status(), 200);
    let told = match way {
        Way::Down => sum_of_body(response.into_body()).await?,
        Way::Up => String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?,
    };
    driving.abort();
    Ok(told)
}

fn sum_of(wire: &mut Wire, length: u64) -> io::Result<String> {
    let mut sum = Sum::new();
    let mut piece = vec![0; PIECE];
    while sum.length < length {
        let most = usize::try_from((length - sum.length).min(PIECE as u64)).unwrap_or(PIECE);
        let came = wire.read(&mut piece[..most])?;
        if came == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sum.add(&piece[..came]);
    }
    Ok(sum.told())
}

fn sum_of_chunks(wire: &mut Wire) -> io::Result<String> {
    let mut sum = Sum::new();
    while let Some(chunk) = wire.chunk()? {
        sum.add(&chunk);
    }
    wire.trailers()?;
    Ok(sum.told())
}

async fn sum_of_body(mut body: Incoming) -> Result<String, hyper::Error> {
    let mut sum = Sum::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            sum.add(&data);
        }
    }
    Ok(sum.told())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Has hyper spawn on the runtime that it runs on.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}
