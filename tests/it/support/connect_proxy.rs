//! A scripted HTTP proxy: it records what it is asked for, and opens a way, or does what proxies do instead.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;

use super::listener::Listener;
use super::wire::{Head, Wire};
use super::{pause, seconds};

/// What it does with a CONNECT.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// Opens the way.
    Open,
    /// Opens it for this user and password, and answers 407 to everybody else.
    Login(&'static str),
    /// Answers with these bytes and closes.
    Says(&'static str),
    /// Reads and never answers.
    Hangs,
    /// Closes without an answer.
    Closes,
}

/// A proxy on a loopback port that knows where each name leads.
pub(crate) struct ConnectProxy {
    listener: Listener,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    mood: Mutex<Option<Mood>>,
    seen: Mutex<Vec<Head>>,
    /// `host:port` and where that is in this test; anything else is connected to as it is called.
    names: Mutex<BTreeMap<String, SocketAddr>>,
}

impl ConnectProxy {
    pub(crate) fn start(mood: Mood) -> Self {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let listener = Listener::start(Arc::new(move |stream| {
            // Either end may close in the middle.
            let _ = serve(stream, &shared);
        }));
        let proxy = Self { listener, state };
        proxy.turn(mood);
        proxy
    }

    /// Another mood from now on.
    pub(crate) fn turn(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = Some(mood);
    }

    /// Lets `name` (`host:port`) lead to a server of the test.
    pub(crate) fn lead(&self, name: &str, to: SocketAddr) {
        self.state.names.lock().unwrap().insert(name.to_owned(), to);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Its URL with a login.
    pub(crate) fn url_for(&self, login: &str) -> String {
        format!("http://{login}@{}", self.address())
    }

    /// Everything that it was asked, in the order of coming.
    pub(crate) fn seen(&self) -> Vec<Head> {
        self.state.seen.lock().unwrap().clone()
    }

    /// What it was asked for, in the order of coming.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen().iter().map(|head| head.word(1).to_owned()).collect()
    }
}

fn serve(stream: Arc<TcpStream>, state: &State) -> io::Result<()> {
    let mut wire = Wire::new(stream.clone());
    let Some(head) = wire.head()? else { return Ok(()) };
    let target = head.word(1).to_owned();
    let login = head.fields.first("proxy-authorization").map(str::to_owned);
    let is_connect = head.word(0) == "CONNECT";
    state.seen.lock().unwrap().push(head);
    let mood = state.mood.lock().unwrap().clone();
    match mood {
        _ if !is_connect => return wire.send("HTTP/1.1 405 Only CONNECT\r\nContent-Length: 0\r\n\r\n"),
        Some(Mood::Login(wanted)) => {
            let wanted = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(wanted));
            if login.as_deref() != Some(wanted.as_str()) {
                let challenge = "Proxy-Authenticate: Basic realm=\"the proxy's own words\"";
                return wire.send(format!("HTTP/1.1 407 Who\r\n{challenge}\r\nContent-Length: 0\r\n\r\n"));
            }
        }
        Some(Mood::Says(bytes)) => return wire.send(bytes),
        Some(Mood::Hangs) => {
            pause(seconds(15.0));
            return Ok(());
        }
        Some(Mood::Closes) => return Ok(()),
        Some(Mood::Open) | None => {}
    }
    let known = state.names.lock().unwrap().get(&target).copied();
    let server = match known.map_or_else(|| TcpStream::connect(&target), TcpStream::connect) {
        Ok(server) => server,
        Err(_) => return wire.send("HTTP/1.1 502 Nobody there\r\nContent-Length: 0\r\n\r\n"),
    };
    wire.send("HTTP/1.1 200 Connection established\r\nVia: 1.1 scripted\r\n\r\n")?;
    stream.set_read_timeout(None)?;
    server.set_nodelay(true)?;
    let (caller, there) = (stream.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || carry(&caller, &there));
    carry(&server, &stream);
    Ok(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
