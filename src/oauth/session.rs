//! What one login has brought so far: values of its steps' answers, and cookies.
//!
//! Owns the putting in of such values where the configuration refers to them. All of it counts as secret and lives in memory
//! alone.

use http::HeaderName;
use zeroize::Zeroizing;

use super::jar::Jar;
use super::material::{Value, Values};
use super::settings::{Param, Reference, Settings, Whence};
use crate::secret::Secret;

/// What one login has brought so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    values: Vec<(Whence, Secret)>,
    pub(super) jar: Jar,
}

/// The tokens that a request may carry wherever the configuration says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried<'a> {
    pub(super) access: Option<&'a Secret>,
    pub(super) refresh: Option<&'a Secret>,
}

/// Something is referred to that the login has not brought.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Missing(String);

impl Session {
    pub(super) fn learn(&mut self, whence: Whence, value: Secret) {
        self.values.retain(|(known, _)| *known != whence);
        self.values.push((whence, value));
    }

    /// What must not be shown, because the configuration refers to it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.values.iter().map(|(_, value)| value)
    }

    /// Replaces each reference by what it refers to. Returns what was put in, for the mask.
    pub(super) fn fill(&self, values: &mut Values, carried: Carried<'_>) -> Result<Vec<Secret>, Missing> {
        let mut put = Vec::new();
        let params = values.params.iter_mut().map(|(_, value)| value);
        for value in params.chain(values.headers.iter_mut().map(|(_, value)| value)) {
            if let Value::Login(reference) = value {
                let filled = self.find(reference, carried)?;
                put.push(filled.clone());
                *value = Value::Text(filled);
            }
        }
        Ok(put)
    }

    /// Whether it has every value of steps that these refer to.
    pub(super) fn has_all(&self, params: &[(String, Value)], headers: &[(HeaderName, Value)]) -> bool {
        let values = params.iter().map(|(_, value)| value).chain(headers.iter().map(|(_, value)| value));
        values.into_iter().all(|value| match value {
            Value::Login(Reference { whence, .. }) if step_of(whence).is_some() => {
                self.values.iter().any(|(known, _)| known == whence)
            }
            _ => true,
        })
    }

    fn find(&self, Reference { whence, prefix }: &Reference, carried: Carried<'_>) -> Result<Secret, Missing> {
        let found = match whence {
            Whence::AccessToken => carried.access,
            Whence::RefreshToken => carried.refresh,
            of_step => self.values.iter().find(|(known, _)| known == of_step).map(|(_, value)| value),
        };
        let found = found.ok_or_else(|| Missing(format!("there is no {} to send", named(whence))))?;
        if prefix.is_empty() {
            return Ok(found.clone());
        }
        let text = Zeroizing::new(format!("{prefix}{}", found.expose()));
        Ok(Secret::new(text.as_str()))
    }
}

/// For messages.
fn named(whence: &Whence) -> String {
    match whence {
        Whence::Pointer(step, pointer) => format!("{pointer} of the step {step:?}"),
        Whence::Header(step, name) => format!("header field {name} of the step {step:?}"),
        Whence::Cookie(step, name) => format!("cookie {name} of the step {step:?}"),
        Whence::AccessToken => "access token".to_owned(),
        Whence::RefreshToken => "refresh token".to_owned(),
    }
}

/// Everything that the configuration refers to in the answer of a step.
pub(super) fn wanted<'a>(settings: &'a Settings, step: &str) -> Vec<&'a Whence> {
    let login = &settings.login;
    let shapes = login.steps.iter().map(|step| &step.shape);
    let shapes = shapes.chain(login.refresh.iter().map(|refresh| &refresh.shape));
    let shapes: Vec<_> = shapes.chain(login.revocation.iter().map(|revocation| &revocation.shape)).collect();
    let params = |params: &'a [(String, Param)]| params.iter().map(|(_, value)| value);
    let headers = |headers: &'a [(HeaderName, Param)]| headers.iter().map(|(_, value)| value);
    let own = params(&settings.params).chain(headers(&settings.headers));
    let others = shapes.into_iter().flat_map(|shape| params(&shape.params).chain(headers(&shape.headers)));
    let mut wanted = Vec::new();
    for value in own.chain(others) {
        if let Param::Login(Reference { whence, .. }) = value
            && step_of(whence) == Some(step)
            && !wanted.contains(&whence)
        {
            wanted.push(whence);
        }
    }
    wanted
}

fn step_of(whence: &Whence) -> Option<&str> {
    match whence {
        Whence::Pointer(step, _) | Whence::Header(step, _) | Whence::Cookie(step, _) => Some(step),
        Whence::AccessToken | Whence::RefreshToken => None,
    }
}
