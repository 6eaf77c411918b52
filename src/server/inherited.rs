//! Sockets that the service manager bound and handed over (`sd_listen_fds(3)`).
//!
//! Owns the descriptors from the start of the process on: each is closed on exec, becomes a socket that is listened on, or is
//! closed. Refuses what nobody can listen on. The file of a Unix socket is the service manager's: neither its mode nor its
//! name is touched.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

use super::listener::Socket;

/// What descriptors are called that came without names (`sd_listen_fds_with_names(3)`).
const NAMELESS: &str = "unknown";
/// More descriptors than this nobody hands over; the number comes from outside and space is made for it.
const MOST: usize = 4096;

/// The variables by which descriptors are announced, as they were at start.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// `LISTEN_PID`: the process that they are for.
    pub pid: Option<String>,
    /// `LISTEN_FDS`: how many there are.
    pub count: Option<String>,
    /// `LISTEN_FDNAMES`: their names, between colons.
    pub names: Option<String>,
}

impl Announced {
    /// The name of each descriptor, or why there is none.
    fn names(&self, own_pid: u32) -> Result<Vec<String>, String> {
        let count = self.count.as_deref().ok_or(
            "nothing was handed over: LISTEN_FDS is not set; start it as the service of a socket unit that is running, \
             as in: systemctl start bearerd.socket bearerd.service",
        )?;
        let count: usize = match count.parse() {
            Ok(count) if count <= MOST => count,
            _ => return Err(format!("nothing can be taken over: LISTEN_FDS = {count:?} is no number up to {MOST}")),
        };
        let pid = self.pid.as_deref().unwrap_or_default();
        if pid.parse() != Ok(own_pid) {
            let why = format!("LISTEN_PID is {pid:?}, and this process is {own_pid}");
            return Err(format!(
                "what was handed over is for another process: {why}; a wrapper script must start bearerd with exec"
            ));
        }
        let Some(names) = &self.names else { return Ok(vec![NAMELESS.to_owned(); count]) };
        let names: Vec<_> = names.split(':').map(str::to_owned).collect();
        if names.len() != count {
            return Err(format!("LISTEN_FDNAMES has {} names for LISTEN_FDS = {count} descriptors", names.len()));
        }
        Ok(names)
    }
}

/// What was handed over and is not claimed yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Handed>,
    /// Of all descriptors.
    names: Vec<String>,
    /// Why there is nothing to take.
    nothing: Option<String>,
}

#[derive(Debug)]
struct Handed {
    name: String,
    /// Or what it is instead of a socket that is listened on.
    socket: Result<Socket, &'static str>,
}

/// Why a name has no sockets to listen on: one line, with the names that there are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unclaimed(String);

impl Inherited {
    /// Takes over what was announced to this process, and removes the announcement from its environment. To be called once,
    /// before anything else opens a file.
    pub fn take(announced: &Announced) -> Self {
        let names = match announced.names(std::process::id()) {
            Ok(names) => names,
            Err(nothing) => return Self { nothing: Some(nothing), ..Self::default() },
        };
        let handed = |(name, socket): (&String, _)| Handed { name: name.clone(), socket };
        Self { sockets: names.iter().zip(system::take(names.len())).map(handed).collect(), names, nothing: None }
    }

    /// Nothing, because what is handed over is taken at the start.
    pub fn later() -> Self {
        let nothing = "sockets are handed over at the start alone: this needs a restart".to_owned();
        Self { nothing: Some(nothing), ..Self::default() }
    }

    /// All sockets of a name; a second time there are none.
    ///
    /// # Errors
    /// [`Unclaimed`] if there is none, or one that cannot be listened on.
    pub fn claim(&mut self, name: &str) -> Result<Vec<Socket>, Unclaimed> {
        if let Some(nothing) = &self.nothing {
            return Err(Unclaimed(nothing.clone()));
        }
        let (wanted, others): (Vec<_>, Vec<_>) = self.sockets.drain(..).partition(|handed| handed.name == name);
        self.sockets = others;
        if wanted.is_empty() {
            return Err(Unclaimed(format!("no socket called {name:?} was handed over, but {}", self.list())));
        }
        wanted.into_iter().map(Handed::listening).collect()
    }

    /// What nobody claimed, a line each: `"web" (127.0.0.1:80)`.
    pub fn unclaimed(&self) -> impl Iterator<Item = String> {
        self.sockets.iter().map(|Handed { name, socket }| match socket {
            Ok(socket) => match socket.address() {
                Ok(address) => format!("{name:?} ({address})"),
                Err(_) => format!("{name:?}"),
            },
            Err(kind) => format!("{name:?} ({kind})"),
        })
    }

    fn list(&self) -> String {
        let mut names: Vec<_> = self.names.iter().map(|name| format!("{name:?}")).collect();
        names.dedup();
        if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
    }
}

impl Handed {
    fn listening(self) -> Result<Socket, Unclaimed> {
        let Self { name, socket } = self;
        socket.map_err(|kind| {
            let what = "needs a stream socket that listens: ListenStream= and Accept=no in the socket unit";
            Unclaimed(format!("what was handed over as {name:?} is {kind}; it {what}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> Announced {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Announced { pid: owned(pid), count: owned(count), names: owned(names) }
    }

    #[test]
    fn names_are_given_in_the_order_of_the_descriptors() {
        let check = |count: &str, names: Option<&str>, wanted: &[&str]| {
            let found = announced(Some("7"), Some(count), names).names(7);
            assert_eq!(found.as_deref(), Ok(&*wanted.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()));
        };
        check("0", None, &[]);
        check("2", None, &["unknown", "unknown"]);
        check("1", Some("bearerd.socket"), &["bearerd.socket"]);
        check("3", Some("web:web:admin socket"), &["web", "web", "admin socket"]);
        check("2", Some(":web"), &["", "web"]);
    }

    #[test]
    fn what_is_not_for_this_process_or_makes_no_sense_is_not_touched() {
        let check = |variables: Announced, phrase: &str| {
            let told = variables.names(7).unwrap_err();
            assert!(told.contains(phrase), "{told}");
        };
        check(announced(None, None, None), "LISTEN_FDS is not set");
        check(announced(Some("8"), Some("1"), Some("web")), "LISTEN_PID is \"8\", and this process is 7");
        check(announced(None, Some("1"), Some("web")), "another process");
        check(announced(Some("x"), Some("1"), Some("web")), "another process");
        check(announced(Some("7"), Some("-1"), None), "is no number");
        check(announced(Some("7"), Some("4097"), None), "is no number");
        check(announced(Some("7"), Some("2"), Some("web")), "1 names for LISTEN_FDS = 2");
    }

    #[test]
    fn a_name_that_was_not_handed_over_is_refused_with_those_that_were() {
        let socket = || {
            let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            Handed { name: "web".to_owned(), socket: Ok(Socket::Tcp(bound)) }
        };
        let bad = Handed { name: "log".to_owned(), socket: Err("a datagram socket") };
        let names = ["web", "web", "log"].map(str::to_owned).to_vec();
        let mut inherited = Inherited { sockets: vec![socket(), socket(), bad], names, nothing: None };
        let told = inherited.claim("app").unwrap_err().to_string();
        assert_eq!(told, "no socket called \"app\" was handed over, but \"web\", \"log\"");
        assert_eq!(inherited.claim("web").unwrap().len(), 2);
        assert_eq!(inherited.unclaimed().collect::<Vec<_>>(), ["\"log\" (a datagram socket)"]);
        assert!(inherited.claim("log").unwrap_err().to_string().contains("ListenStream="));
        let nothing = "no";
        let mut none = Inherited { nothing: Some(nothing.to_owned()), ..Inherited::default() };
        assert_eq!(none.claim("web").unwrap_err().to_string(), nothing);
    }
}
