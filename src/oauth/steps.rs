//! The requests before a token request, one after the other.
//!
//! Owns what counts as the success of a step and what is kept of its answer: what the configuration refers to, and cookies. A step
//! that fails is classed as a token request that fails, and named. Nothing follows a redirect: where one is the expected answer, its
//! target is not looked at.

use std::time::SystemTime;

use serde_json::Value;

use super::answer::{Defect, header_value, names, take_text};
use super::material::{Client, Material, Values};
use super::request::{self, Envelope};
use super::send::{self, Answer, Body, Deadline};
use super::session::{Carried, Session, wanted};
use super::settings::{Format, Settings, Step, Whence};
use super::{FetchError, TokenEndpoint, format, jar, refuse};
use crate::secret::Secret;

/// What is accepted of a step, before the configuration says otherwise.
const ACCEPT: &str = "application/json, */*;q=0.8";

impl TokenEndpoint {
    /// Sends every step in its order.
    pub(super) async fn sign_in(&self, material: &mut Material, deadline: Deadline) -> Result<Session, FetchError> {
        let mut session = Session::default();
        let mut values = std::mem::take(&mut material.steps).into_iter();
        for step in &self.settings.login.steps {
            let Some(mut values) = values.next() else { break };
            let put = session.fill(&mut values, Carried::default());
            material.guarded.extend(put.map_err(|missing| refuse::unsendable(&missing).at_step(&step.name))?);
            self.take_step(step, &values, (material, &mut session), deadline)
                .await
                .map_err(|error| error.at_step(&step.name))?;
        }
        Ok(session)
    }

    async fn take_step(
        &self,
        step: &Step,
        values: &Values,
        (material, session): (&Material, &mut Session),
        deadline: Deadline,
    ) -> Result<(), FetchError> {
        let uri = step.shape.endpoint.as_ref().unwrap_or_else(|| self.settings.endpoint.written());
        let connector = self.connector_to(uri).map_err(|failure| refuse::unanswered(&failure))?;
        let origin = connector.origin();
        let envelope = Envelope {
            method: &step.shape.method,
            encoding: step.shape.encoding,
            endpoint: (uri, origin),
            client: &Client::Anonymous,
            headers: &values.headers,
            cookies: session.jar.pairs_for((uri, origin)),
            accept: ACCEPT,
        };
        let fields = request::plain_fields(&values.params);
        let request = request::assemble(&envelope, &fields).map_err(|error| refuse::unsendable(&error))?;
        let answer = send::exchange(&connector, request, deadline, &self.clock).await;
        let answer = answer.map_err(|failure| refuse::unanswered(&failure))?;
        let settings = &*self.settings;
        // What this answer brings must not be shown either.
        let mut learned = session.clone();
        learned.jar.take_up(&answer.headers, (uri, origin), answer.times.arrived);
        if !is_expected(&answer, &step.expect_status) {
            let mask = self.mask(material, &learned, None);
            return Err(refuse::unexpected(&answer, &step.expect_status, settings, &mask));
        }
        match read(&answer, step, settings) {
            Ok(found) => found.into_iter().for_each(|(whence, value)| learned.learn(whence, value)),
            Err(Unread::Cut) => return Err(refuse::unread(&answer)),
            Err(Unread::Defect(defect)) => {
                let mask = self.mask(material, &learned, None);
                return Err(refuse::without_token(defect, &answer, settings, &mask));
            }
        }
        *session = learned;
        Ok(())
    }
}

/// Whether a status is a success: one of those written, else any 2xx.
pub(super) fn is_expected(answer: &Answer, expected: &[u16]) -> bool {
    if expected.is_empty() { answer.status.is_success() } else { expected.contains(&answer.status.as_u16()) }
}

enum Unread {
    Cut,
    Defect(Defect),
}

/// Everything that the configuration refers to in this answer.
fn read(answer: &Answer, step: &Step, settings: &Settings) -> Result<Vec<(Whence, Secret)>, Unread> {
    let wanted = wanted(settings, &step.name);
    let needs_body = wanted.iter().any(|whence| matches!(whence, Whence::Pointer(..)));
    let mut members = match (&answer.body, needs_body) {
        (Body::Whole(body), true) if !answer.is_compressed() => {
            let parsed = format::parse(body, &answer.headers, Format::Auto);
            parsed.map_err(|why| Unread::Defect(Defect::NotUnderstood(why)))?
        }
        (Body::Whole(_), true) => {
            let why = "it is compressed, which was not asked for".to_owned();
            return Err(Unread::Defect(Defect::NotUnderstood(why)));
        }
        (_, true) => return Err(Unread::Cut),
        // An error in the guise of a success explains why nothing else came.
        (Body::Whole(body), false) => format::parse(body, &answer.headers, Format::Auto).unwrap_or_default(),
        (_, false) => Value::Null,
    };
    let mut found = Vec::new();
    for whence in wanted {
        match value_of(whence, answer, &mut members) {
            Ok(value) => found.push((whence.clone(), value)),
            Err(why) => return Err(Unread::Defect(Defect::NoToken { why, answer: members })),
        }
    }
    Ok(found)
}

fn value_of(whence: &Whence, answer: &Answer, members: &mut Value) -> Result<Secret, String> {
    match whence {
        Whence::Pointer(_, pointer) => text_or_number(members, pointer),
        Whence::Header(_, name) => header_value(&answer.headers, name).map(Secret::new),
        Whence::Cookie(_, name) => {
            let now: SystemTime = answer.times.date.unwrap_or(answer.times.arrived);
            let cookie = jar::the_one(&answer.headers, name, now);
            let cookie = cookie.filter(|cookie| !cookie.value.expose().is_empty());
            cookie.map(|cookie| cookie.value).ok_or_else(|| format!("it sets no cookie {name}"))
        }
        // Of no step's answer: `wanted` names none.
        Whence::AccessToken | Whence::RefreshToken => Err("it is no answer of a step".to_owned()),
    }
}

/// Numbers of sessions may be numbers.
fn text_or_number(members: &mut Value, pointer: &str) -> Result<Secret, String> {
    if let Some(Value::Number(number)) = format::at(members, pointer) {
        return Ok(Secret::new(number.to_string()));
    }
    // Read where it stays: two places may refer to it.
    let mut copy = format::at(members, pointer).cloned().unwrap_or_default();
    match take_text(&mut copy, "") {
        Ok(text) => Ok(text),
        Err(_) if format::at(members, pointer).is_none() => Err(format!("there is no {pointer}{}", names(members))),
        Err(_) => Err(format!("{pointer} is no text that could be sent")),
    }
}

impl FetchError {
    /// The same failure, met at a step before the token request.
    fn at_step(self, name: &str) -> Self {
        let title = self.reason.title();
        let message = self.message.replacen(title, &format!("{title}, at the step {name:?}"), 1);
        Self { message, ..self }
    }
}
