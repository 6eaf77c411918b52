//! Whose socket is at the other end of a TCP connection within this machine.
//!
//! Owns the reading of `/proc/net/tcp` and `/proc/net/tcp6` (proc(5)): the caller's own entry there carries its user. Refuses to
//! guess: an entry matches by all four of addresses and ports, and one that no process holds any longer has no owner.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the system's tables say of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The user whose process holds it.
    Uid(u32),
    /// It is of this machine, but no process holds it any longer.
    Nobody,
    /// It is in no table: of another machine or network namespace, or the tables could not be read.
    Unknown,
}

/// Looks up who holds the other end. Reads files of the kernel for up to milliseconds: not on an event loop.
pub(super) fn owner(peer: SocketAddr, local: SocketAddr) -> Owner {
    let ends = (canonical(peer), canonical(local));
    // An entry can be missed when others vanish while the table is read, so that the second look counts.
    for _ in 0..2 {
        // IPv4 through an IPv6 socket stands in the table of IPv6.
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            if ends.0.is_ipv6() && table == "/proc/net/tcp" {
                continue;
            }
            match File::open(table).and_then(|file| find(BufReader::with_capacity(1 << 16, file), ends)) {
                Ok(Some(owner)) => return owner,
                Ok(None) => (),
                Err(error) => tracing::debug!(%error, table, "cannot be read"),
            }
        }
    }
    Owner::Unknown
}

fn find(table: impl BufRead, ends: (SocketAddr, SocketAddr)) -> io::Result<Option<Owner>> {
    for line in table.lines() {
        if let Some((found, owner)) = entry(&line?)
            && found == ends
        {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// Both ends of an entry, the near one first, and its owner.
fn entry(line: &str) -> Option<((SocketAddr, SocketAddr), Owner)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let near = address(fields.next()?)?;
    let far = address(fields.next()?)?;
    let uid = fields.nth(4)?.parse().ok()?;
    let inode: u64 = fields.nth(1)?.parse().ok()?;
    // Without an inode the kernel finishes alone what a process has left, and says user 0.
    let owner = if inode == 0 { Owner::Nobody } else { Owner::Uid(uid) };
    Some(((near, far), owner))
}

/// `0100007F:1F90`: words of four bytes in network order, shown as numbers of this machine, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// Without scope, and IPv4 as such: as the tables know an address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_entry_matches_by_both_ends_and_has_an_owner_while_a_process_holds_it() {
        const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     7        0 12 1 0 20 4 30 10 -1
   2: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 13 1 0 20 4 30 10 -1
   3: 0100007F:C002 0100007F:1F90 06 00000000:00000000 03:000013F2 00000000     0        0 0 3 0
   4: 0000000000000000FFFF00000100007F:C003 0000000000000000FFFF00000100007F:1F90 01 0:0 00:0 0  1002        0 14 1 0
   5: 00000000000000000000000001000000:C004 00000000000000000000000001000000:1F90 01 0:0 00:0 0  1003        0 15 1 0
   6: 0100007F:C005 0100007F:1F91 01 00000000:00000000 00:00000000 00000000  1001        0 16 1 0 20 4 30 10 -1
";
        let check = |peer: &str, local: &str, wanted: Option<Owner>| {
            let ends = (canonical(peer.parse().unwrap()), canonical(local.parse().unwrap()));
            assert_eq!(find(TABLE.as_bytes(), ends).unwrap(), wanted, "{peer} {local}");
        };
        if cfg!(target_endian = "big") {
            return;
        }
        check("127.0.0.1:49153", "127.0.0.1:8080", Some(Owner::Uid(1001)));
        check("[::ffff:127.0.0.1]:49153", "127.0.0.1:8080", Some(Owner::Uid(1001)));
        check("127.0.0.1:49154", "127.0.0.1:8080", Some(Owner::Nobody));
        check("127.0.0.1:49155", "127.0.0.1:8080", Some(Owner::Uid(1002)));
        check("[::1]:49156", "[::1]:8080", Some(Owner::Uid(1003)));
        check("127.0.0.1:49157", "127.0.0.1:8080", None);
        check("127.0.0.2:49153", "127.0.0.1:8080", None);
        check("127.0.0.1:1", "127.0.0.1:8080", None);
    }

    #[test]
    fn a_connection_of_this_process_belongs_to_its_user() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (_accepted, peer) = listener.accept().unwrap();
            let uid = rustix::process::geteuid().as_raw();
            assert_eq!(owner(peer, listener.local_addr().unwrap()), Owner::Uid(uid), "{address}");
            drop(caller);
        }
    }

    #[test]
    fn what_is_in_no_table_has_no_known_owner() {
        let owner = owner("192.0.2.1:4242".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        assert_eq!(owner, Owner::Unknown);
    }
}
