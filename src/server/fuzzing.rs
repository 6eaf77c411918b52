//! What fuzzing wants of the callers' side: a head as a request, and a conversation over a stream in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken property is a panic, as in a test")]

use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

pub(crate) use super::framing::fuzzing::{Read, framing, request};

use super::Settings;
use super::connection::{ConnectionInfo, Ends, Handler, serve};
use super::framing::Framed;
use super::peer::Peer;
use crate::shutdown;

/// The longest head that is read, in bytes.
pub(crate) const HEAD: usize = 64 * 1024;

/// How long a conversation in memory may take: one that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(20);

/// A caller on the same machine.
pub(crate) fn info() -> ConnectionInfo {
    let address = ([127, 0, 0, 1], 8080).into();
    let peer = Peer::Tcp { peer: address, local: address, owner: None };
    ConnectionInfo { peer, loopback_listener: true, group: 0, secure: false, names: None }
}

/// Has `handler` serve what a caller sends in these pieces before it hangs up.
pub(crate) fn converse<H: Handler>(pieces: &[&[u8]], handler: Rc<H>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime needs no more than memory");
    runtime.block_on(conversation(pieces, handler));
}

/// The same, on whatever runs it.
pub(crate) async fn conversation<H: Handler>(pieces: &[&[u8]], handler: Rc<H>) {
    let settings = Settings {
        request_head: None,
        keep_alive: None,
        response_unread: None,
        head: HEAD,
        connections: 1,
        owners: false,
    };
    let (mut theirs, ours) = tokio::io::duplex(64 * 1024);
    let (_draining, is_draining) = shutdown::channel();
    let ends = Ends { leaving: is_draining.clone(), draining: is_draining };
    let serving = serve(Framed::new(ours, settings), info(), handler, ends);
    let calling = async {
        for piece in pieces {
            // Whoever is refused is not read any more.
            if theirs.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(theirs);
    };
    let both = async { tokio::join!(serving, calling) };
    tokio::time::timeout(LONGEST, both).await.expect("what has ended is served to its end");
}
