//! One request from head to tail: checked, routed, stripped, authorized, sent, cured, answered.
//!
//! Owns what happens between a caller's request and the answer it gets. Knows tokens only through [`crate::token::Reader`]:
//! it can read, wait and report, and has no way to fetch. Refuses what is ambiguous instead of repairing it.

mod access;
mod asked;
mod attempt;
mod budget;
pub mod callers;
mod challenge;
mod complaint;
mod cookies;
mod cycle;
mod dpop;
mod echo;
mod entry;
mod field_rules;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gate;
mod headers;
mod held;
mod hops;
mod intake;
mod links;
mod live;
mod outbound;
mod patience;
mod places;
mod problem;
mod readings;
mod rejection;
mod reply;
pub mod route;
pub mod settings;
mod share;
pub mod shared_key;
mod slots;
#[cfg(any(test, feature = "fuzzing"))]
mod smallest;
#[cfg(not(feature = "otel"))]
#[path = "proxy/no_spans.rs"]
mod spans;
#[cfg(feature = "otel")]
mod spans;
mod target;
mod traced;
mod upgrade;
mod via;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::VIA;
use http::request::Parts;
use http::{Request, Response, Version};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

pub use access::AccessLog;
pub use budget::Budget;
pub use complaint::Refusals;
pub use dpop::complaint;
pub use field_rules::{field_value, follow as follow_fields};
pub use live::Live;
pub(crate) use places::{with_cookie, with_parameter};
pub use reply::ReplyBody;
pub use slots::Slots;
pub use via::Via;

use crate::alarm::Alarms;
use crate::metrics::Metrics;
use crate::server::{Answer, CallerBody, ConnectionInfo, Handler, Refusal};
use crate::traces::Recording;
use crate::upstream::Connector;
use attempt::Attempt;
use callers::Rules;
use gate::Gate;
use intake::{Handling, Intake};
use outbound::Sanitized;
use problem::Problem;
use reply::Account;
use route::{Route, Table};
use settings::HeaderCase;
use share::{RouteShare, WorkerCounts};
use shared_key::SharedKey;
use slots::Places;
use spans::Spans;

/// How long a body that nobody wants may pause before its connection is closed.
const DISCARD_PAUSE: Duration = Duration::from_secs(5);
/// How long such a body is read at most.
const DISCARD_TIME: Duration = Duration::from_secs(30);

/// What all workers share: immutable.
#[derive(Debug)]
pub struct Gateway {
    /// All routes; the table answers with positions in here.
    pub routes: Vec<Arc<Route>>,
    /// A connector for each route, in the same order.
    pub connectors: Vec<Connector>,
    /// Which route a request belongs to.
    pub table: Table,
    /// Who may call, unless the route has rules of its own.
    pub callers: Rules,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Memory for kept bodies.
    pub budget: Arc<Budget>,
    /// How many requests may be in flight.
    pub slots: Arc<Slots>,
    /// Our entry in `Via`, by which we know requests that come back to us.
    pub via: Via,
    /// What was said of refused callers.
    pub refusals: Refusals,
    /// Which requests are logged.
    pub access_log: AccessLog,
    /// Where requests are recorded.
    pub traces: Recording,
}

impl Gateway {
    /// The shared keys of all rules.
    pub fn keys(&self) -> impl Iterator<Item = &SharedKey> {
        let of_routes = self.routes.iter().filter_map(|route| route.callers.as_ref());
        of_routes.chain([&self.callers]).filter_map(Rules::key)
    }
}

/// One worker's share: the gateway, and what it has of its own.
#[derive(Debug)]
pub struct Proxy {
    gateway: Arc<Gateway>,
    routes: Vec<Rc<RouteShare>>,
    counts: Rc<WorkerCounts>,
    places: Rc<Places>,
    via: Via,
    asked: asked::Memory,
    alarms: Alarms,
    no_body: Rc<Intake>,
    /// Whether any route keeps the spelling of names.
    keeps_spelling: bool,
    discard: mpsc::UnboundedSender<CallerBody>,
}

impl Proxy {
    /// A worker's proxy, which takes over what it may of the one `before`: connections of routes that are the same, counts, places.
    fn new(gateway: Arc<Gateway>, before: Option<&Self>) -> Self {
        let discard = before.map(|before| before.discard.clone()).unwrap_or_else(|| {
            let (discard, unwanted) = mpsc::unbounded_channel();
            tokio::task::spawn_local(discard_bodies(unwanted));
            discard
        });
        let same_slots = before.filter(|before| Arc::ptr_eq(&before.gateway.slots, &gateway.slots));
        let no_body = Intake::none(Handling {
            keep: None,
            budget: Arc::clone(&gateway.budget),
            idle: None,
            resumes: false,
            ours: Arc::default(),
            discard: discard.clone(),
            notes: None,
        });
        Self {
            routes: share::of_worker(&gateway, before.map_or(&[], |before| &before.routes)),
            counts: before.map_or_else(|| WorkerCounts::new(&gateway.metrics), |before| Rc::clone(&before.counts)),
            places: same_slots
                .map_or_else(|| Places::new(Arc::clone(&gateway.slots)), |before| Rc::clone(&before.places)),
            via: gateway.via.copied(),
            asked: asked::Memory::default(),
            alarms: Alarms::default(),
            no_body,
            keeps_spelling: gateway.routes.iter().any(|route| route.settings.header_case == HeaderCase::Preserve),
            discard,
            gateway,
        }
    }

    /// All that needs no waiting, so that what it looks at is not kept while the upstream is waited for.
    fn begin(&self, info: &ConnectionInfo, request: Request<CallerBody>) -> Begun {
        let (mut parts, body) = request.into_parts();
        let caller = problem::Caller::of(&parts);
        if let Some(name) = &self.gateway.access_log.request_id {
            traced::ensure_id(name, &mut parts.headers);
        }
        let id_field = self.gateway.access_log.request_id.as_ref();
        let spans = Spans::begin(&self.gateway.traces, info, &mut parts, id_field);
        let mut account = Account::open(&self.counts, self.gateway.access_log.begin(info, &parts), spans);
        let prepared = self.prepare(info, parts, body, &mut account);
        Begun { caller, account, prepared }
    }

    fn prepare(
        &self,
        info: &ConnectionInfo,
        mut parts: Parts,
        body: CallerBody,
        account: &mut Account,
    ) -> Result<Prepared, Problem> {
        let gateway = &self.gateway;
        let entry = match entry::admit(gateway, &self.asked, info, &parts) {
            Ok(entry) => entry,
            Err(problem) => {
                self.discard_refused(&parts, body);
                return Err(problem.about(self.request_id(&parts.headers)));
            }
        };
        let route = self.routes.get(entry.route).ok_or_else(entry::no_route)?;
        account.assign(route);
        account.spans.asked(&entry.asked.authority);
        let intake = if http_body::Body::is_end_stream(&body) {
            Rc::clone(&self.no_body)
        } else {
            let gate = entry.expects_continue.then(Gate::new);
            Intake::new(body, Handling { notes: account.notes(), ..self.handling(route, &parts.headers) }, gate)
        };
        for header in
            [route.callers.as_ref(), Some(&gateway.callers)].into_iter().flatten().filter_map(Rules::key_header)
        {
            headers::strip_injected(&mut parts.headers, header);
        }
        let request = Sanitized::new(parts, route, &entry.asked.authority, &self.via, !intake.is_empty())?;
        Ok(Prepared { route: Rc::clone(route), asked: entry.asked, intake, request })
    }

    /// Takes a place, has the request answered, and makes the answer the caller's.
    async fn forward(
        &self,
        (info, caller): (&ConnectionInfo, problem::Caller),
        Prepared { route, asked, intake, request }: &Prepared,
        account: &mut Account,
    ) -> Result<Passed, Problem> {
        let slot = match self.places.try_take() {
            Some(slot) => slot,
            // Waits are in boxes: few requests wait, and all would take the memory for it.
            None => Box::pin(self.places.wait()).await.ok_or_else(Problem::too_many_requests)?,
        };
        account.hold(slot);
        let notes = account.notes();
        let notes = notes.as_deref();
        let sendings = account.spans.sendings();
        let attempt = Attempt { route, request, intake, alarms: &self.alarms, terms: None, notes, sendings };
        let mut response = cycle::send_and_cure(attempt).await?;
        let via = via::of_answer(response.version());
        // Our own version, whatever the upstream speaks (RFC 9112 §2.3).
        *response.version_mut() = Version::HTTP_11;
        let switched = upgrade::switched(&mut response, request.upgrade())?;
        upgrade::strip_answer(&mut response, caller);
        dpop::strip_answer(route, response.headers_mut());
        response.headers_mut().append(VIA, via);
        cookies::rewrite(response.headers_mut(), route, asked.authority.host());
        links::rewrite(response.headers_mut(), route, (info.scheme(), &asked.authority));
        let connection = switched.map(|switched| switched.say_so(&mut response));
        Ok(Passed { response, connection })
    }

    /// By which id a request that was not forwarded is known.
    #[cold]
    fn request_id(&self, headers: &http::HeaderMap) -> Option<String> {
        traced::id(self.gateway.access_log.request_id.as_ref(), headers)
    }

    /// Reads the body of a refused request, so that its caller comes to read the answer; one that waits for an invitation gets none.
    fn discard_refused(&self, request: &Parts, body: CallerBody) {
        let waits = request.version != Version::HTTP_10 && request.headers.contains_key(http::header::EXPECT);
        if !waits {
            // A worker that has ended discards the body by dropping it.
            let _ = self.discard.send(body);
        }
    }

    fn handling(&self, route: &Route, headers: &http::HeaderMap) -> Handling {
        let is_grpc = headers::is_grpc(headers);
        Handling {
            keep: Some(route.settings.rejection.replay_body_limit),
            budget: Arc::clone(&self.gateway.budget),
            // A gRPC call may say nothing for hours; it has deadlines of its own.
            idle: route.settings.timeouts.request_body_idle.filter(|_| !is_grpc),
            resumes: is_grpc,
            ours: Arc::clone(&route.ours),
            discard: self.discard.clone(),
            notes: None,
        }
    }
}

/// A request that was let in, or not.
struct Begun {
    caller: problem::Caller,
    account: Account,
    prepared: Result<Prepared, Problem>,
}

/// A request that was let in: ready to be sent.
struct Prepared {
    route: Rc<RouteShare>,
    asked: Rc<asked::Asked>,
    intake: Rc<Intake>,
    request: Sanitized,
}

/// An upstream's answer as its caller gets it.
struct Passed {
    response: Response<held::Held>,
    /// What the caller's stream is joined with afterwards.
    connection: Option<attempt::UpstreamConnection>,
}

impl Handler for Proxy {
    type Body = ReplyBody;

    fn wants_spelling(&self) -> bool {
        self.keeps_spelling
    }

    async fn handle(&self, info: Rc<ConnectionInfo>, request: Request<CallerBody>) -> Answer<ReplyBody> {
        let Begun { caller, mut account, prepared } = self.begin(&info, request);
        let passed = match &prepared {
            Ok(prepared) if prepared.request.ends_here() => return account.answer(hops::answer()).into(),
            Ok(prepared) => self.forward((&info, caller), prepared, &mut account).await,
            Err(problem) => Err(problem.clone()),
        };
        match passed {
            Ok(Passed { response, connection: None }) => account.pass(response).into(),
            Ok(Passed { response, connection: Some(connection) }) => {
                let response = account.switch(response);
                Answer { response, then: Some(upgrade::takeover(connection, account)) }
            }
            Err(problem) => {
                self.gateway.refusals.utter(&problem);
                let forwarded = prepared.as_ref().ok().map(|prepared| prepared.request.headers());
                let problem = match forwarded {
                    Some(headers) => problem.about(self.request_id(headers)),
                    None => problem,
                };
                account.refuse(problem, caller).into()
            }
        }
    }

    fn refuse(&self, info: &ConnectionInfo, refusal: Refusal, head_only: bool) -> Bytes {
        let problem = Problem::refused(refusal);
        self.gateway.metrics.refuse(problem.reason);
        if !self.gateway.access_log.share.is_none() {
            access::write_refused(info, problem.status(), problem.reason);
        }
        problem.into_bytes(head_only)
    }
}

/// Reads bodies whose requests are answered and throws them away, so that callers come to read their answers.
async fn discard_bodies(mut unwanted: mpsc::UnboundedReceiver<CallerBody>) {
    while let Some(mut body) = unwanted.recv().await {
        tokio::task::spawn_local(async move {
            use http_body_util::BodyExt as _;
            let until = Instant::now() + DISCARD_TIME;
            while Instant::now() < until {
                match timeout(DISCARD_PAUSE, body.frame()).await {
                    Ok(Some(Ok(_))) => (),
                    Ok(_) => return,
                    Err(_) => break,
                }
            }
            body.give_up();
        });
    }
}
