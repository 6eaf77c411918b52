//! One connection that is kept up: made, made again, left.
//!
//! Owns the answer to whether there is a connection, and why not. A connection is given up when the server closes it, when it does not
//! answer a ping in time (every few seconds, and at once after a question that nobody waited for any longer), and when it is no master any
//! more. Retries back off with full jitter, so that a fleet does not come back in one moment.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, PushInfo, RedisResult, ServerErrorKind, Value, cmd, pipe};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::dial::Driver;
use super::failure::Trouble;
use super::scripts::{self, Call};
use super::{Common, dial, failure, sentinel};
use crate::backoff;
use crate::store::backend::{Name, StoreError};
use crate::store::settings::Server;

/// How often a connection without traffic is asked whether it lives.
const LOOK: Duration = Duration::from_secs(3);

/// The most that a ping may take, whatever a question may take: pauses of a second are no death.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// How long connecting may take, login and subscriptions included.
const CONNECTING: Duration = Duration::from_secs(5);

/// The first wait between two tries, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A connection that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// Whom a link connects to.
#[derive(Debug)]
pub(super) enum Target {
    /// The servers of the settings, the first of which is there.
    Servers,
    /// The master of this name, as the sentinels say.
    Master(String),
    /// This one.
    Node(Server),
}

/// One connection and what keeps it up.
pub(super) struct Link {
    common: Rc<Common>,
    target: Target,
    state: watch::Sender<State>,
    /// Rung when something suggests that the connection is dead.
    suspicion: Notify,
    /// Rung when the server said that it is no master any more; why.
    over: Notify,
    why_over: RefCell<Option<StoreError>>,
    /// Rung when other names are listened to.
    listen_anew: Notify,
    /// Of a cluster's slots, those whose notifications are heard here; `None` for all.
    slots: RefCell<Option<Vec<(u16, u16)>>>,
    /// Which of several servers comes next.
    next: Cell<usize>,
    has_replicas: Cell<bool>,
    /// Whether the user may ask who is master.
    asks_role: Cell<bool>,
}

#[derive(Clone)]
enum State {
    /// Nothing is known yet: the first try has not ended.
    Fresh,
    Up(MultiplexedConnection),
    Down(StoreError),
}

/// Rings when a question is dropped before its answer came.
struct Suspicion<'a>(Option<&'a Notify>);

impl Drop for Suspicion<'_> {
    fn drop(&mut self) {
        if let Some(suspicion) = self.0 {
            suspicion.notify_one();
        }
    }
}

impl Link {
    pub(super) fn new(common: Rc<Common>, target: Target) -> Self {
        Self {
            common,
            target,
            state: watch::Sender::new(State::Fresh),
            suspicion: Notify::new(),
            over: Notify::new(),
            why_over: RefCell::default(),
            listen_anew: Notify::new(),
            slots: RefCell::default(),
            next: Cell::new(0),
            has_replicas: Cell::new(false),
            asks_role: Cell::new(true),
        }
    }

    /// Listens for the names in these slots alone.
    pub(super) fn keep_to(&self, slots: Vec<(u16, u16)>) {
        if self.slots.borrow().as_ref() != Some(&slots) {
            self.slots.replace(Some(slots));
            self.listen_anew();
        }
    }

    /// Other names than before may be listened to.
    pub(super) fn listen_anew(&self) {
        self.listen_anew.notify_one();
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(_))
    }

    /// Asks a question: by its hash, by its text if the server does not know that.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Value, Trouble> {
        let mut connection = self.connection().await?;
        self.patiently(async {
            let answer = call.by_hash().query_async(&mut connection).await;
            if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
                return answer;
            }
            call.by_text().query_async(&mut connection).await
        })
        .await
    }

    /// The same of a node to which the slot is just moving.
    pub(super) async fn ask_asking(&self, call: &Call<'_>) -> Result<Value, Trouble> {
        let mut connection = self.connection().await?;
        let mut pipe = pipe();
        pipe.cmd("ASKING").ignore().add_command(call.by_text());
        let answer = self.patiently(pipe.query_async::<(Value,)>(&mut connection)).await?;
        Ok(answer.0)
    }

    /// Whether the server answers.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.command(&cmd("PING")).await.map(drop)
    }

    /// Asks for something that is no script.
    pub(super) async fn command(&self, command: &Cmd) -> Result<Value, StoreError> {
        let mut connection = self.connection().await?;
        Ok(self.patiently(command.query_async(&mut connection)).await?)
    }

    /// Waits until a replica has what was written last, if there is one.
    pub(super) async fn wait_for_replica(&self, most: Duration) {
        if !self.has_replicas.get() {
            return;
        }
        let Ok(mut connection) = self.connection().await else { return };
        let mut command = cmd("WAIT");
        command.arg(1).arg(u64::try_from(most.as_millis()).unwrap_or(1).max(1));
        let answer = self.patiently(command.query_async::<u64>(&mut connection)).await.map_err(StoreError::from);
        tracing::debug!(?answer, "waited for a replica of the token store");
    }

    /// Keeps the connection up, for ever.
    pub(super) async fn run(&self) {
        let mut tries = 0;
        loop {
            let began = self.common.clock.now();
            let why = self.live().await;
            tracing::debug!(place = ?self.target, %why, "no connection to the token store");
            if !self.is_up() {
                // It opened, perhaps, and was of no use.
                self.next.set(self.next.get().wrapping_add(1));
            }
            self.state.send_replace(State::Down(why));
            self.common.stale.notify_one();
            if self.common.clock.now().since(began) >= GOOD {
                tries = 0;
            }
            let wait = backoff::full_jitter(WAITS.0, tries, WAITS.1, fastrand::f64());
            self.common.clock.sleep_until(self.common.clock.now() + wait).await;
            tries = tries.saturating_add(1);
        }
    }

    /// The connection, as soon as it is known whether there is one.
    async fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let mut watch = self.state.subscribe();
        // The sender is ours and lives as long as we do.
        let state = watch.wait_for(|state| !matches!(state, State::Fresh)).await.map(|state| state.clone());
        match state {
            Ok(State::Up(connection)) => Ok(connection),
            Ok(State::Down(why)) => Err(why),
            Ok(State::Fresh) | Err(_) => Err(StoreError::Unreachable("it was not tried yet".to_owned())),
        }
    }

    /// Has the connection looked at if nobody waits for the answer to its end, and left if the answer says so.
    async fn patiently<T>(&self, asking: impl Future<Output = RedisResult<T>>) -> Result<T, Trouble> {
        let mut suspicion = Suspicion(Some(&self.suspicion));
        let answer = asking.await;
        suspicion.0 = None;
        if let Err(error) = &answer
            && failure::is_over(error)
        {
            self.why_over.replace(Some(failure::of(error)));
            self.over.notify_one();
        }
        match (answer, &*self.state.borrow()) {
            // Its end says more than that it broke.
            (Err(error), State::Down(why)) if error.is_io_error() => Err(Trouble::Link(why.clone())),
            (answer, _) => answer.map_err(Trouble::Answer),
        }
    }

    /// One connection from its beginning to its end: why it ended.
    async fn live(&self) -> StoreError {
        let (connection, driver) = match timeout(CONNECTING, self.open()).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return error,
            Err(_) => return StoreError::Unreachable(format!("no connection within {} s", CONNECTING.as_secs())),
        };
        tokio::select! {
            () = driver => dial::closed(),
            why = self.tend(connection) => why,
        }
    }

    async fn open(&self) -> Result<(MultiplexedConnection, Driver), StoreError> {
        let settings = &self.common.settings;
        match &self.target {
            Target::Node(server) => dial::open(settings, server, self.ear()).await,
            Target::Master(master) => {
                let server = sentinel::master(settings, master).await?;
                dial::open(settings, &server, self.ear()).await
            }
            Target::Servers => {
                let mut last = StoreError::Unreachable("no server is configured".to_owned());
                for _ in &settings.servers {
                    let Some(server) = settings.servers.get(self.next.get() % settings.servers.len().max(1)) else {
                        break;
                    };
                    match dial::open(settings, server, self.ear()).await {
                        Ok(opened) => return Ok(opened),
                        Err(error) => last = error,
                    }
                    self.next.set(self.next.get().wrapping_add(1));
                }
                Err(last)
            }
        }
    }

    fn ear(&self) -> impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static {
        let bells = Arc::clone(&self.common.bells);
        move |message| {
            bells.hear(&message);
            Ok(())
        }
    }

    /// Makes an open connection the one that is used, and looks after it: why it is to be left.
    async fn tend(&self, mut connection: MultiplexedConnection) -> StoreError {
        self.why_over.take();
        self.asks_role.set(true);
        let mut heard = BTreeSet::new();
        match timeout(CONNECTING, self.greet(&mut connection, &mut heard)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return StoreError::Unreachable(format!("no greeting within {} s", CONNECTING.as_secs())),
        }
        self.state.send_replace(State::Up(connection.clone()));
        // Nobody knows what was missed.
        heard.iter().for_each(|name| self.common.bells.ring(name));
        let patience = self.common.timeout.clamp(PATIENCE.0, PATIENCE.1);
        loop {
            let next = self.common.clock.now() + LOOK.mul_f64(0.75 + fastrand::f64() / 2.0);
            let is_look = tokio::select! {
                () = self.common.clock.sleep_until(next) => true,
                () = self.suspicion.notified() => true,
                () = self.listen_anew.notified() => false,
                () = self.over.notified() => match self.why_over.take() {
                    Some(why) => return why,
                    None => continue,
                },
            };
            let done = timeout(patience, async {
                if is_look {
                    self.look(&mut connection).await?;
                }
                self.subscribe(&mut connection, &mut heard).await
            });
            match done.await {
                Ok(Ok(new)) => new.iter().for_each(|name| self.common.bells.ring(name)),
                Ok(Err(error)) => return error,
                Err(_) => {
                    return StoreError::Unreachable(format!("no answer to a ping within {} ms", patience.as_millis()));
                }
            }
        }
    }

    async fn greet(
        &self,
        connection: &mut MultiplexedConnection,
        heard: &mut BTreeSet<Name>,
    ) -> Result<(), StoreError> {
        // Fails while the server loads its data; the question for its role would not.
        cmd("PING").query_async::<Value>(connection).await.map_err(|error| failure::of(&error))?;
        self.look(connection).await?;
        self.subscribe(connection, heard).await.map(drop)
    }

    /// Whether it lives, and is master.
    async fn look(&self, connection: &mut MultiplexedConnection) -> Result<(), StoreError> {
        if self.asks_role.get() {
            match cmd("ROLE").query_async::<Value>(connection).await {
                Ok(role) => return self.is_master(&role),
                // No right to ask; or a service that does not want to be asked.
                Err(error) if matches!(error.kind(), ErrorKind::Server(_)) => self.asks_role.set(false),
                Err(error) => return Err(failure::of(&error)),
            }
        }
        cmd("PING").query_async::<Value>(connection).await.map(drop).map_err(|error| failure::of(&error))
    }

    fn is_master(&self, role: &Value) -> Result<(), StoreError> {
        let Value::Array(role) = role else { return Ok(()) };
        if role.first() == Some(&Value::BulkString(b"slave".to_vec())) {
            return Err(StoreError::Refused("READONLY it is a replica, not the master".to_owned()));
        }
        self.has_replicas.set(matches!(role.get(2), Some(Value::Array(replicas)) if !replicas.is_empty()));
        Ok(())
    }

    /// Listens for what is listened to now: the names that are new.
    async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        heard: &mut BTreeSet<Name>,
    ) -> Result<BTreeSet<Name>, StoreError> {
        let mut wanted = self.common.bells.names();
        if let Some(slots) = &*self.slots.borrow() {
            wanted.retain(|name| {
                let slot = scripts::slot(name);
                slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
            });
        }
        let (gone, new) = (&*heard - &wanted, &wanted - &*heard);
        if !gone.is_empty() {
            connection.unsubscribe(channels(&gone)).await.map_err(|error| failure::of(&error))?;
        }
        if !new.is_empty() {
            connection.subscribe(channels(&new)).await.map_err(|error| failure::of(&error))?;
        }
        *heard = wanted;
        Ok(new)
    }
}

fn channels(names: &BTreeSet<Name>) -> Vec<String> {
    names.iter().map(scripts::channel).collect()
}
