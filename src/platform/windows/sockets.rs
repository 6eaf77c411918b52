//! Unix sockets where there are none: types without a value, so that what would be done with one is checked and never done.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A Unix socket that is listened on: there is none.
#[derive(Debug)]
pub struct UnixListener(Infallible);

impl UnixListener {
    /// Whatever is wanted of it.
    pub(crate) fn absurd<T>(&self) -> T {
        match self.0 {}
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self.0 {}
    }

    pub(crate) fn from_std(socket: Self) -> io::Result<Self> {
        match socket.0 {}
    }

    pub(crate) async fn accept(&self) -> io::Result<(UnixStream, Infallible)> {
        match self.0 {}
    }
}

/// A connection of a Unix socket: there is none.
#[derive(Debug)]
pub(crate) struct UnixStream(Infallible);

impl UnixStream {
    /// Whatever is wanted of it.
    pub(crate) fn absurd<T>(&self) -> T {
        match self.0 {}
    }

    /// # Errors
    /// Always.
    pub(crate) fn connect(_path: &Path) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "bearerd has no Unix sockets on Windows"))
    }

    pub(crate) fn set_read_timeout(&self, _time: Option<Duration>) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn set_write_timeout(&self, _time: Option<Duration>) -> io::Result<()> {
        match self.0 {}
    }

    pub(crate) fn from_std(stream: Self) -> io::Result<Self> {
        match stream.0 {}
    }

    pub(crate) fn into_std(self) -> io::Result<Self> {
        match self.0 {}
    }

    pub(crate) fn try_write(&self, _bytes: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Read for &UnixStream {
    fn read(&mut self, _buf: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for &UnixStream {
    fn write(&mut self, _buf: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
