//! One attempt to have a request answered: a connection, a token that is valid at that moment, the head of the answer.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::header::EXPECT;
use http::{HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::access::Notes;
use super::held::Held;
use super::intake::{Intake, Lost, RequestBody};
use super::outbound::Sanitized;
use super::patience::Patience;
use super::problem::Problem;
use super::rejection::is_idempotent;
use super::settings::Inject;
use super::share::RouteShare;
use super::spans::{Said, Sendings};
use super::{dpop, echo};
use crate::alarm::Alarms;
use crate::dpop::Terms;
use crate::jose::KeyError;
use crate::log;
use crate::reason::Reason;
use crate::tls;
use crate::token::AccessToken;
use crate::upstream::{ConnectError, ConnectFailure, Connection, OnInterim, SendError, SendFailure};

/// How often a request that the upstream refuses to look at goes to another connection.
const REFUSALS: u32 = 3;

/// A connection to an upstream, as requests use it.
pub(super) type UpstreamConnection = Connection<RequestBody>;

/// What every attempt of one request needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) route: &'a RouteShare,
    pub(super) request: &'a Sanitized,
    pub(super) intake: &'a Rc<Intake>,
    pub(super) alarms: &'a Alarms,
    /// What the proof must satisfy, if not what the upstream said last.
    pub(super) terms: Option<&'a Terms>,
    /// What the access log wants to know, if there is one.
    pub(super) notes: Option<&'a Notes>,
    /// Where sendings are recorded.
    pub(super) sendings: Sendings<'a>,
}

/// An answer and the token that it answers to.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<Held>,
    pub(super) token: Option<Arc<AccessToken>>,
    /// What the proof beside the token was made to satisfy, if there was one.
    pub(super) terms: Terms,
}

impl Attempt<'_> {
    /// Sends the request with the current token, or with `replacement` while that is fresh.
    ///
    /// A connection that was kept from an earlier request may be closed by the upstream at the very moment we use it; then the
    /// request goes out once more on a fresh one, if nothing of it was sent or nothing can have been done twice.
    ///
    /// # Errors
    /// [`Problem`] if there is no answer. Nothing has reached the caller.
    pub(super) async fn send(&self, replacement: Option<Arc<AccessToken>>) -> Result<Answered, Problem> {
        // Without a token no connection is opened.
        let mut token = self.token(replacement).await?;
        let changes = self.request.upgrade().is_some();
        let (pool, mut began) = (&self.route.pool, Instant::now());
        let kept = if changes { pool.take_switchable(began) } else { pool.take_idle(began) };
        let mut connection = match kept {
            // Nothing was waited for since the token was looked at.
            Some(kept) => kept,
            None => {
                let fresh = self.connect().await?;
                token = self.token(token).await?;
                began = Instant::now();
                fresh
            }
        };
        let mut refusals = 0;
        loop {
            let reused = connection.is_reused();
            if connection.is_http2() && self.request.lacks_key() {
                return Err(Problem::new(
                    Reason::BadRequest,
                    "a WebSocket handshake without its one Sec-WebSocket-Key",
                ));
            }
            let body = self.intake.body().ok_or_else(cannot_repeat)?;
            let sending = self.sendings.begin(self.route, self.request, token.as_deref());
            match self.exchange(connection, token.as_deref(), body, began, sending.said()).await {
                Ok((response, terms)) => {
                    sending.answered(response.status());
                    return Ok(Answered { response, token, terms });
                }
                Err(Failure::Unanswered(error)) if reused && self.may_go_again(&error) => {
                    sending.failed(Reason::UpstreamClosed);
                    tracing::debug!(error = %error.failure, "kept connection was closed; sending again on a fresh one");
                    connection = self.connect().await?;
                    token = self.token(token).await?;
                    began = Instant::now();
                }
                Err(Failure::Unanswered(error)) if error.refused && refusals < REFUSALS && self.intake.can_repeat() => {
                    sending.failed(Reason::UpstreamClosed);
                    tracing::debug!(error = %error.failure, "upstream refused the stream; sending again on another connection");
                    refusals += 1;
                    connection = self.connect().await?;
                    token = self.token(token).await?;
                    began = Instant::now();
                }
                Err(failure) => {
                    let problem = self.problem(&failure);
                    sending.failed(problem.reason);
                    return Err(problem);
                }
            }
        }
    }

    /// `candidate` if it is still fresh, else whatever is, within the credential's wait.
    async fn token(&self, candidate: Option<Arc<AccessToken>>) -> Result<Option<Arc<AccessToken>>, Problem> {
        let Some(credential) = &self.route.credential else { return Ok(None) };
        let candidate = candidate.filter(|token| credential.reader.is_fresh(token));
        if let Some(token) = candidate.or_else(|| self.route.current_token(&credential.reader)) {
            return Ok(Some(token));
        }
        // Waits are in boxes: few requests wait, and all would take the memory for it.
        let usable = Box::pin(credential.reader.usable()).await;
        usable.map(Some).map_err(|unavailable| Problem::no_token(&unavailable))
    }

    fn connect(&self) -> Pin<Box<impl Future<Output = Result<Connection<RequestBody>, Problem>>>> {
        Box::pin(self.connected())
    }

    async fn connected(&self) -> Result<Connection<RequestBody>, Problem> {
        self.sendings.connecting();
        self.connection().await.inspect_err(|problem| {
            self.sendings.begin(self.route, self.request, None).failed(problem.reason);
        })
    }

    async fn connection(&self) -> Result<Connection<RequestBody>, Problem> {
        let connected = match self.request.upgrade() {
            Some(_) => self.route.pool.connect_to_switch().await.transpose(),
            None => Some(self.route.pool.connect().await),
        };
        let Some(connected) = connected else {
            let text = "the upstream speaks HTTP/2 alone and does not change the protocol of its streams";
            return Err(self.failed(Reason::UpstreamNoUpgrade, text));
        };
        connected.map_err(|error| {
            let reason = match error.failure {
                ConnectFailure::Name => Reason::UpstreamName,
                ConnectFailure::Connect => Reason::UpstreamConnect,
                ConnectFailure::Timeout => Reason::UpstreamConnectTime,
                ConnectFailure::Tls => Reason::UpstreamTls,
                ConnectFailure::Proxy => Reason::UpstreamProxy,
                ConnectFailure::ProxyRefused(_) => Reason::UpstreamProxyRefused,
            };
            self.failed(reason, &connect_text(&error))
        })
    }

    async fn exchange(
        &self,
        connection: Connection<RequestBody>,
        token: Option<&AccessToken>,
        body: RequestBody,
        began: Instant,
        said: Said,
    ) -> Result<(Response<Held>, Terms), Failure> {
        let (proof, terms) = self.proof(token, connection.is_http2())?;
        let on_interim = self.intake.gate().map(super::gate::Gate::key).map(|key| {
            OnInterim::new(move |status| {
                if status == StatusCode::CONTINUE {
                    key.turn();
                }
            })
        });
        let request = self.request.authorize(self.route, token).map_err(Failure::Unsendable)?;
        let request = said.say(request.proving(proof).telling(on_interim));
        let head = request.as_head();
        let patience = Patience::of(self.request.headers(), self.route.settings.timeouts.response_head);
        let mut alarm = self.alarms.lend();
        let answer = tokio::select! {
            biased;
            answer = self.route.pool.send(connection, head, body) => answer.map_err(Failure::Unanswered)?,
            () = patience.end(self.intake, &mut alarm, began) => return Err(Failure::Silent),
        };
        self.intake.answered();
        let took = began.elapsed();
        self.route.counts().upstream_took(took);
        if let Some(notes) = self.notes {
            notes.upstream_took(took);
        }
        if let Some(proofs) = &self.route.proofs {
            proofs.learn(answer.headers());
        }
        let mut answer = answer.map(Held::new);
        if let (Inject::Query(_), Some(token)) = (&self.route.settings.inject, token) {
            echo::silence(answer.headers_mut(), token.value());
        }
        if self.intake.gate().is_some_and(|gate| !gate.is_open()) {
            // The upstream did not want the body, so the request on this connection has no end.
            answer.body_mut().forfeit_connection();
        }
        Ok((answer, terms))
    }

    /// The proof beside a token that needs one, made for this very attempt, and what it satisfies.
    fn proof(&self, token: Option<&AccessToken>, is_http2: bool) -> Result<(Option<HeaderValue>, Terms), Failure> {
        let (Some(token), Some(proofs)) = (token, &self.route.proofs) else { return Ok((None, Terms::default())) };
        let terms = self.terms.cloned().unwrap_or_else(|| proofs.terms());
        let is_connect = is_http2 && self.request.upgrade().is_some();
        let proof = dpop::prove(self.route, self.request, token, &terms, is_connect);
        Ok((proof.map_err(Failure::Unproven)?, terms))
    }

    /// The answer that the caller gets is that to a second sending.
    pub(super) fn note_replay(&self) {
        if let Some(notes) = self.notes {
            notes.replayed();
        }
    }

    fn may_go_again(&self, error: &SendError) -> bool {
        let nothing_sent = !error.sent;
        let harmless = is_idempotent(self.request.method());
        (nothing_sent || harmless) && self.intake.can_repeat()
    }

    fn problem(&self, failure: &Failure) -> Problem {
        match (failure, self.intake.fault()) {
            (_, Some(Lost::Stalled)) => Problem::new(Reason::BodyTimeout, self.stall_text()),
            (_, Some(Lost::Malformed(refusal))) => Problem::new(refusal.reason, refusal.detail),
            (_, Some(_)) => Problem::new(Reason::CallerGone, "the request's body broke off"),
            (Failure::Unsendable(problem), None) => problem.clone(),
            (Failure::Unproven(error), None) => {
                Problem::new(Reason::SecretUnreadable, format!("the key of dpop {error}"))
            }
            (Failure::Silent, None) => self.failed(Reason::UpstreamSilent, "no answer in time"),
            (Failure::Unanswered(SendError { failure: SendFailure::Closed(error), .. }), None) => {
                match tls::cause(error) {
                    // With TLS 1.3 our side has finished before the upstream refuses our certificate.
                    Some(alert) => self.failed(Reason::UpstreamTls, &tls::explain(alert)),
                    None => self.failed(
                        Reason::UpstreamClosed,
                        &format!("connection closed by the upstream before answering ({})", log::chain(error)),
                    ),
                }
            }
            (Failure::Unanswered(SendError { failure, .. }), None) => {
                self.failed(Reason::UpstreamMalformed, &failure.to_string())
            }
        }
    }

    fn stall_text(&self) -> &'static str {
        // Only over HTTP/2 there is no gate behind which a body waits for its invitation.
        if self.intake.gate().is_none() && self.request.headers().contains_key(EXPECT) {
            "the request's body stalled; a caller that waits for 100 Continue gets none over HTTP/2"
        } else {
            "the request's body stalled"
        }
    }

    fn failed(&self, reason: Reason, text: &str) -> Problem {
        let origin = &self.route.settings.origin;
        Problem::new(reason, format!("{origin}: {text}"))
    }
}

/// A request that brought no head of an answer.
#[derive(Debug)]
enum Failure {
    /// Nothing was sent.
    Unsendable(Problem),
    /// Nothing was sent.
    Unproven(KeyError),
    Silent,
    Unanswered(SendError),
}

fn cannot_repeat() -> Problem {
    Problem::new(Reason::UpstreamClosed, "the request cannot be sent again")
}

fn connect_text(error: &ConnectError) -> String {
    format!("{error} ({})", error.source)
}
