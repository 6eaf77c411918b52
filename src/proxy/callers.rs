//! Who may call: the rules of `[callers]` and `[routes.*.callers]`, asked for each request.
//!
//! Every rule that is written must hold. A refusal names the line that would let the caller in, and nothing that is secret.

use http::HeaderName;
use http::header::HeaderMap;

use super::problem::Problem;
use super::settings::{Accounts, Callers};
use super::shared_key::SharedKey;
use crate::guard::{HostRules, NamedHost, Refusal};
use crate::process;
use crate::reason::Reason;
use crate::secret::SecretError;
use crate::server::{ConnectionInfo, Owner, Peer};

/// The rules for all routes, or for one.
#[derive(Debug)]
pub struct Rules {
    settings: Callers,
    hosts: HostRules,
    key: Option<SharedKey>,
}

impl Rules {
    /// Rules as configured. `hosts` are allowed beside those of the rules.
    ///
    /// # Errors
    /// [`SecretError`] if the shared key cannot be read.
    pub fn new<'a>(settings: &'a Callers, hosts: impl Iterator<Item = &'a str>) -> Result<Self, SecretError> {
        let names = HostRules::new(hosts.chain(settings.hosts.iter().map(String::as_str)));
        let key = settings.key.as_ref().map(|key| SharedKey::load(key.source.clone())).transpose()?;
        Ok(Self { hosts: names.in_table(&settings.hosts_in), settings: settings.clone(), key })
    }

    /// The shared key, to be read again.
    pub fn key(&self) -> Option<&SharedKey> {
        self.key.as_ref()
    }

    /// The header that carries the shared key: nobody else's business.
    pub(super) fn key_header(&self) -> Option<&HeaderName> {
        self.settings.key.as_ref().map(|key| &key.header)
    }

    /// Checks `Host` where a page in a browser could be the caller: none can reach a Unix socket, has a certificate for us, or
    /// knows the key (DESIGN section 7).
    pub(super) fn check_host(&self, info: &ConnectionInfo, named: &NamedHost) -> Result<(), Refusal> {
        match info.peer.local() {
            Some(local) if info.names.is_none() && self.key.is_none() => {
                self.hosts.check_host(named, local.ip(), info.loopback_listener)
            }
            _ => Ok(()),
        }
    }

    /// Lets a caller in, or not.
    pub(super) fn check(&self, info: &ConnectionInfo, headers: &HeaderMap) -> Result<(), Problem> {
        self.check_address(info)?;
        self.check_names(info)?;
        if let Some(accounts) = &self.settings.accounts {
            check_owner(accounts, info.peer, process::unknown_user())
                .map_err(|detail| Problem::new(Reason::CallerNotAllowed, detail))?;
        }
        self.check_key(headers)
    }

    fn check_address(&self, info: &ConnectionInfo) -> Result<(), Problem> {
        // The mode of a Unix socket says who may call.
        let Some(peer) = info.peer.ip() else { return Ok(()) };
        if info.loopback_listener && peer.is_loopback() {
            return Ok(());
        }
        let allowed = match &self.settings.from {
            Some(ranges) => ranges.iter().any(|range| range.contains(&peer)),
            // A certificate of the right authority is a rule who may call, and so is the key.
            None => info.names.is_some() || self.key.is_some(),
        };
        if allowed {
            return Ok(());
        }
        let table = &self.settings.from_in;
        let detail = format!("{peer} is not allowed; add to {table}: from = [\"{peer}\"]");
        Err(Problem::new(Reason::CallerNotAllowed, detail))
    }

    fn check_names(&self, info: &ConnectionInfo) -> Result<(), Problem> {
        let allowed = self.settings.client_names.as_ref().filter(|_| info.peer.ip().is_some());
        let Some(allowed) = allowed else { return Ok(()) };
        let names = info.names.as_deref().unwrap_or_default();
        if names.iter().any(|name| allowed.contains(name)) {
            return Ok(());
        }
        let detail = match names.first() {
            Some(name) => {
                let name = name.to_string();
                format!("the caller's certificate is for {name:?}; add to [callers]: client_names = [{name:?}]")
            }
            None => "the caller's certificate carries no subject alternative name".to_owned(),
        };
        Err(Problem::new(Reason::CallerNotAllowed, detail))
    }

    fn check_key(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let (Some(key), Some(header)) = (&self.key, self.key_header()) else { return Ok(()) };
        let mut values = headers.get_all(header).iter();
        let detail = match (values.next(), values.next()) {
            (Some(value), None) if key.is(value.as_bytes()) => return Ok(()),
            (Some(_), None) => format!("the value of {header} is not the shared key"),
            (Some(_), Some(_)) => format!("there is more than one {header}"),
            (None, _) => format!("the shared key is missing: send it as {header}"),
        };
        Err(Problem::new(Reason::CallerKey, detail))
    }
}

/// By user and group. A caller of another machine has neither; other rules decide about it. `unknown` is the user that all look like
/// whom this process cannot tell: it is nobody's name.
fn check_owner(accounts: &Accounts, peer: Peer, unknown: Option<u32>) -> Result<(), String> {
    let is_user = |uid| unknown != Some(uid) && (accounts.uids.contains(&uid) || accounts.members.contains(&uid));
    let refused = |uid: u32| match uid {
        _ if unknown == Some(uid) => format!(
            "whose process calls cannot be told: bearerd runs in a user namespace, where everybody outside of it is user {uid}; run it \
             outside (systemd: [Service] PrivateUsers=no)"
        ),
        process::OVERFLOW_USER => {
            format!(
                "a process of user {uid} (nobody) is not allowed; many can be that user: give the caller one of its own"
            )
        }
        _ => format!("a process of user {uid} is not allowed; add to {}: uids = [{uid}]", accounts.written_in),
    };
    match peer {
        // Groups have the same number for what cannot be told.
        Peer::Unix { uid, gid, .. } if is_user(uid) || unknown != Some(gid) && accounts.gids.contains(&gid) => Ok(()),
        Peer::Tcp { owner: Some(Owner::Uid(uid)), .. } if is_user(uid) => Ok(()),
        Peer::Unix { uid, .. } | Peer::Tcp { owner: Some(Owner::Uid(uid)), .. } => Err(refused(uid)),
        Peer::Tcp { owner: Some(Owner::Nobody), .. } => {
            Err("no process holds the other end of this connection any longer".to_owned())
        }
        Peer::Tcp { peer, local, .. } => {
            let ip = peer.ip().to_canonical();
            if ip.is_loopback() || ip == local.ip().to_canonical() {
                return Err(format!("it cannot be told whose process {peer} is"));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_known_by_its_user_or_group() {
        let accounts =
            Accounts { uids: vec![1001], gids: vec![50], members: vec![1002], written_in: "[callers]".to_owned() };
        let unix = |uid, gid| Peer::Unix { uid, gid, pid: None };
        let tcp =
            |peer: &str, owner| Peer::Tcp { peer: peer.parse().unwrap(), local: "10.0.0.5:80".parse().unwrap(), owner };
        let check = |peer: Peer, wanted: Result<(), &str>| {
            assert_eq!(check_owner(&accounts, peer, None), wanted.map_err(str::to_owned), "{peer:?}");
        };
        let line = "a process of user 0 is not allowed; add to [callers]: uids = [0]";
        check(unix(1001, 1), Ok(()));
        check(unix(7, 50), Ok(()));
        check(unix(1002, 1), Ok(()));
        check(unix(0, 0), Err(line));
        check(tcp("127.0.0.1:1", Some(Owner::Uid(1001))), Ok(()));
        check(tcp("127.0.0.1:1", Some(Owner::Uid(1002))), Ok(()));
        check(tcp("127.0.0.1:1", Some(Owner::Uid(0))), Err(line));
        check(tcp("10.0.0.7:1", Some(Owner::Uid(0))), Err(line));
        check(
            tcp("10.0.0.7:1", Some(Owner::Nobody)),
            Err("no process holds the other end of this connection any longer"),
        );
        check(tcp("10.0.0.7:1", Some(Owner::Unknown)), Ok(()));
        check(tcp("10.0.0.5:1", Some(Owner::Unknown)), Err("it cannot be told whose process 10.0.0.5:1 is"));
        check(tcp("127.0.0.1:1", Some(Owner::Unknown)), Err("it cannot be told whose process 127.0.0.1:1 is"));
        check(tcp("[::ffff:127.0.0.1]:1", None), Err("it cannot be told whose process [::ffff:127.0.0.1]:1 is"));
    }

    #[test]
    fn everybody_is_never_let_in_as_nobody() {
        let nobody = process::OVERFLOW_USER;
        let mut accounts =
            Accounts { uids: vec![1001], gids: vec![], members: vec![], written_in: "[callers]".to_owned() };
        let peer = Peer::Unix { uid: nobody, gid: nobody, pid: None };
        for (unknown, words) in [(None, "one of its own"), (Some(nobody), "PrivateUsers=no")] {
            let refusal = check_owner(&accounts, peer, unknown).unwrap_err();
            assert!(refusal.contains(words) && !refusal.contains("uids = ["), "{refusal}");
        }
        accounts.uids.push(nobody);
        assert!(check_owner(&accounts, peer, Some(nobody)).is_err(), "who wrote that opened the door to everybody");
        assert_eq!(check_owner(&accounts, peer, None), Ok(()));
        let known = Peer::Unix { uid: 1001, gid: nobody, pid: None };
        assert_eq!(check_owner(&accounts, known, Some(nobody)), Ok(()));
    }
}
