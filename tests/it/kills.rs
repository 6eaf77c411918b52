//! `kill -9` at every single step of a use of a refresh token that lies in a Redis.
//!
//! A step is anything that another could notice: a piece of bytes to the store or from it, the token request, its answer. The use is
//! gone through once to count the steps; then it begins anew for each of them, is killed there, and another process goes on with what
//! there is in the store.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::support::redis::{Redis, SEAL_KEY, section_at};
use crate::support::relay::Relay;
use crate::support::rotating::{Counts, FIRST, Rotating};
use crate::support::steps::{Steps, Stop};
use crate::support::{Bearerd, Reply, Setup, TokenEndpoint, Tokens, Upstream, eventually, now, pause, seconds};

/// How many are gone through side by side.
const SIDE_BY_SIDE: usize = 6;
const ASKED: &str = "the token request";
const ANSWERED: &str = "the answer to it";

/// What a killed process left to the next.
#[derive(Clone, Debug)]
struct Left {
    /// The step that was not made.
    step: String,
    /// What the server saw of both.
    counts: Counts,
    /// Whether the next one has a token; else it says that the refresh token is lost.
    has_token: bool,
    /// Whether the killed one had told the store anything after its answer.
    was_told: bool,
}

/// A server, a Redis, and a setup that lives by a refresh token in both.
struct Stage {
    server: Rotating,
    redis: Redis,
    steps: Steps,
    relay: Relay,
    _endpoint: TokenEndpoint,
    tokens: Tokens,
    _upstream: Upstream,
    setup: Setup,
}

impl Stage {
    fn new(server: Rotating, grant: &str) -> Option<Self> {
        let redis = Redis::start()?;
        let tokens = Tokens::new(300);
        let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
        let steps = Steps::default();
        let (asked, answering) = (steps.clone(), server.clone());
        endpoint.canaries().add("refresh-canary-");
        endpoint.canaries().add(SEAL_KEY);
        endpoint.always(Reply::custom(move |request, tokens| {
            if !asked.make(ASKED) {
                return Reply::Close;
            }
            let answer = answering.answer(request, tokens);
            if asked.make(ANSWERED) { answer } else { Reply::Close }
        }));
        let relay = Relay::start(&redis.socket(), &steps);
        let credential = format!("token_endpoint = \"{}\"\nclient_id = \"svc\"\n{grant}\n", endpoint.url());
        let setup = Setup::new(endpoint.canaries())
            .credential_only(&upstream.url(), &credential)
            .section("[timeouts]\ntoken_request = \"1s\"");
        Some(Self { server, redis, steps, relay, _endpoint: endpoint, tokens, _upstream: upstream, setup })
    }

    /// Whoever has lived before: its token is over, its refresh token is in the store.
    fn live_before(&self) {
        self.tokens.set_lifetime(2);
        let before = self.direct().start_ready();
        eventually("it is told", seconds(10.0), || !self.redis.keys().is_empty());
        before.stop();
        // Its life is over, and so is the second that two requests are apart.
        pause(seconds(2.2));
        self.tokens.set_lifetime(300);
    }

    fn direct(&self) -> Setup {
        self.setup.clone().section(&self.redis.section())
    }

    fn by_relay(&self) -> Setup {
        self.setup.clone().section(&section_at(&self.relay.path()))
    }

    /// Starts one that is killed at this step; returns the steps it made. An error if it was done before, with how many there were.
    fn kill_at(&self, stop: Stop) -> Result<Vec<String>, usize> {
        self.steps.begin(stop);
        let mut bearerd = self.by_relay().spawn();
        bearerd.wait_until_it_listens();
        let mut quiet = (now(), 0);
        eventually("it is held, or done", seconds(30.0), || {
            let count = self.steps.made().len();
            if count != quiet.1 {
                quiet = (now(), count);
            }
            self.steps.is_held() || (quiet.0.elapsed() > seconds(1.0) && bearerd.is_ready())
        });
        let (made, is_held) = (self.steps.made(), self.steps.is_held());
        bearerd.signal(Signal::KILL);
        bearerd.wait_exit(5.0);
        self.steps.end();
        if is_held { Ok(made) } else { Err(made.len()) }
    }

    /// What the next process finds.
    fn go_on(&self, made: &[String]) -> Left {
        let next = self.direct().start();
        let is_lost = |bearerd: &Bearerd| !bearerd.log_with("T025").is_empty();
        eventually("a token, or a clear word", seconds(40.0), || next.is_ready() || is_lost(&next));
        let has_token = next.is_ready();
        if has_token {
            next.get("/items").expect(200);
        } else {
            assert!(next.log_with("T025")[0].contains("must be given anew"), "{:?}", next.log_with("T025"));
            next.get("/items").expect_problem(503, "T025");
        }
        let was_told = made.iter().rposition(|step| step == ANSWERED).is_some_and(|answered| {
            // The last step is the one that was not made.
            made[answered..].iter().skip(1).rev().skip(1).any(|step| step.contains("question"))
        });
        Left { step: made.last().cloned().unwrap_or_default(), counts: self.server.counts(), has_token, was_told }
    }
}

/// Kills at every step of the use; `None` without a Redis.
fn kill_everywhere(server: fn() -> Rotating, grant: &str) -> Option<Vec<Left>> {
    let stage = Stage::new(server(), grant)?;
    stage.live_before();
    let steps = stage.kill_at(Stop::Never).expect_err("nobody is held");
    // The order differs a little each time, so those that matter most are named besides.
    let named = [(ASKED, 0), (ANSWERED, 0), (ANSWERED, 1), (ANSWERED, 2)].map(|(name, later)| Stop::After(name, later));
    let stops: Vec<Stop> = named.into_iter().chain((0..steps).map(Stop::Number)).collect();
    let next = AtomicUsize::new(0);
    let go_through = || {
        let mut all = Vec::new();
        while let Some(stop) = stops.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stage = Stage::new(server(), grant).unwrap();
            stage.live_before();
            // Pieces may come together: then it is done with fewer of them.
            if let Ok(made) = stage.kill_at(*stop) {
                all.push(stage.go_on(&made));
            }
        }
        all
    };
    let all: Vec<Left> = std::thread::scope(|scope| {
        let threads = [(); SIDE_BY_SIDE].map(|()| scope.spawn(go_through));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let has = |what: &str| all.iter().any(|left| left.step == what);
    assert!(all.len() > 10 && has(ASKED) && has(ANSWERED), "{all:#?}");
    Some(all)
}

fn only_credential() -> String {
    format!("grant_type = \"refresh_token\"\nrefresh_token = \"{FIRST}\"")
}

#[test]
fn a_process_killed_at_any_step_leaves_a_working_token_where_the_server_keeps_the_last() {
    let Some(all) = kill_everywhere(Rotating::keeping_last, &only_credential()) else { return };
    for left in &all {
        assert!(left.has_token && !left.counts.is_revoked, "{left:?}");
    }
}

#[test]
fn a_process_killed_at_any_step_loses_the_token_only_with_an_answer_that_nobody_has_read() {
    let Some(all) = kill_everywhere(Rotating::strict, &only_credential()) else { return };
    let lost: Vec<_> = all.iter().filter(|left| !left.has_token).collect();
    // The server has replaced it, and the successor is nowhere: nothing could find it again.
    for left in &all {
        let is_answer_lost = left.counts.reuses == 1;
        assert_eq!(is_answer_lost, !left.has_token, "{left:?}");
        assert!(!is_answer_lost || !left.was_told, "{left:?}");
    }
    assert!(lost.iter().any(|left| left.step == ANSWERED), "{all:#?}");
}

#[test]
fn a_process_killed_at_any_step_costs_a_login_at_most_where_there_is_another_way() {
    let grant = "grant_type = \"password\"\nusername = \"robot\"\npassword = \"password-canary-71\"";
    let Some(all) = kill_everywhere(Rotating::strict, grant) else { return };
    for left in &all {
        assert!(left.has_token, "{left:?}");
        assert!(left.counts.reuses == 0 && left.counts.logins <= 2, "{left:?}");
    }
    // Most of them cost nothing.
    let logged_in = all.iter().filter(|left| left.counts.logins > 1).count();
    assert!(logged_in <= all.len() / 2, "{logged_in}: {all:#?}");
}
