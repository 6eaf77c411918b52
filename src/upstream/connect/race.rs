//! Which addresses a name has, in which order they are tried, and the race between them (RFC 8305).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::upstream::origin::is_loopback_host;

/// How long one address is tried alone before the next joins the race ("Connection Attempt Delay", RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses that need no name service. `localhost` and everything below it is loopback by definition (RFC 6761
/// §6.3): plain http is allowed there, so no resolver may send it elsewhere.
pub(super) fn addresses_without_lookup(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![SocketAddr::new(address, port)]);
    }
    is_loopback_host(host).then(|| {
        vec![(IpAddr::from(Ipv4Addr::LOCALHOST), port).into(), (IpAddr::from(Ipv6Addr::LOCALHOST), port).into()]
    })
}

/// The resolver's order, with the address families taking turns (RFC 8305 §4), so that one family that leads
/// nowhere costs one stagger and not one per address.
pub(super) fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = found.collect();
    let mut seen = std::collections::HashSet::new();
    found.retain(|address| seen.insert(*address));
    let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        ordered.extend(first.pop_front());
        ordered.extend(second.pop_front());
    }
    ordered
}

/// Connects to the first address that answers. The next address is tried when the one before failed, or after
/// [`STAGGER`] beside it. Dropping the future ends every attempt.
pub(super) async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(only).await.map_err(|error| naming(*only, &error));
    }
    let mut waiting = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut first_failure = None;
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            attempts.spawn(async move { TcpStream::connect(address).await.map_err(|error| naming(address, &error)) });
        }
        let ended = match next {
            Some(_) => match tokio::time::timeout(STAGGER, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
            None => attempts.join_next().await,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => first_failure = first_failure.or(Some(error)),
            Some(Err(error)) => first_failure = first_failure.or_else(|| Some(io::Error::other(error))),
            None => {
                return Err(first_failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address")));
            }
        }
    }
}

fn naming(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

pub(super) fn list(addresses: &[SocketAddr]) -> String {
    let shown: Vec<_> = addresses.iter().take(3).map(ToString::to_string).collect();
    let more = if addresses.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_address_that_swallows_packets_costs_one_stagger() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        // A listener whose queue is full answers nothing: the kernel drops the handshakes.
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let black_hole = full.local_addr().unwrap().as_socket().unwrap();
        let mut fill = Vec::new();
        while let Ok(stream) = tokio::time::timeout(STAGGER, TcpStream::connect(black_hole)).await {
            fill.push(stream);
        }
        let started = Instant::now();
        let stream = race(&[black_hole, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn families_take_turns_and_nothing_is_tried_twice() {
        let check = |found: &[&str], wanted: &[&str]| {
            let parse = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
            assert_eq!(interleave(parse(found).into_iter()), parse(wanted), "{found:?}");
        };
        check(&[], &[]);
        check(&["1.1.1.1:1", "1.1.1.1:1", "2.2.2.2:1"], &["1.1.1.1:1", "2.2.2.2:1"]);
        check(&["[::2]:1", "[::3]:1", "1.1.1.1:1"], &["[::2]:1", "1.1.1.1:1", "[::3]:1"]);
        check(&["1.1.1.1:1", "[::2]:1", "[::3]:1"], &["1.1.1.1:1", "[::2]:1", "[::3]:1"]);
    }

    #[test]
    fn localhost_never_needs_name_service() {
        let check = |host: &str, wanted: Option<usize>| {
            assert_eq!(addresses_without_lookup(host, 80).map(|found| found.len()), wanted, "{host}");
        };
        check("localhost", Some(2));
        check("auth.localhost", Some(2));
        check("127.0.0.1", Some(1));
        check("::1", Some(1));
        check("localhost.example.com", None);
    }
}
