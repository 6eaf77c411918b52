//! `routes.*.headers`: fields that a route sets or removes on their way to the upstream.
//!
//! Applied after stripping and before the token is set, so that neither a caller nor a rule can stand in the token's place. A value
//! may be a secret in a file or of a command: it is read again while bearerd runs, and what cannot be read or sent leaves the old value in use.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::headers;
use super::route::Route;
use super::settings::FieldRules;
use crate::log::chain;
use crate::secret::{self, SecretSource};

/// How often values are read.
const POLL: Duration = Duration::from_secs(2);

/// The rules of one route, with the values as they are now. Shared by all workers.
#[derive(Debug, Default)]
pub(super) struct LiveRules {
    set: Vec<Field>,
    remove: Vec<HeaderName>,
}

#[derive(Debug)]
struct Field {
    name: HeaderName,
    source: SecretSource,
    value: ArcSwap<HeaderValue>,
}

impl LiveRules {
    pub(super) fn new(rules: &FieldRules) -> Self {
        let field = |field: &super::settings::SetField| Field {
            name: field.name.clone(),
            source: field.source.clone(),
            value: ArcSwap::from_pointee(field.value.clone()),
        };
        Self { set: rules.set.iter().map(field).collect(), remove: rules.remove.clone() }
    }

    /// Changes a request's fields. The underscore aliases of a name go with it.
    pub(super) fn apply(&self, fields: &mut HeaderMap) {
        for name in &self.remove {
            headers::strip_injected(fields, name);
        }
        for field in &self.set {
            headers::strip_injected(fields, &field.name);
            fields.insert(field.name.clone(), HeaderValue::clone(&field.value.load()));
        }
    }

    /// Every name that a caller has no say in: no trailer may be called so either.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.remove.iter().chain(self.set.iter().map(|field| &field.name))
    }
}

/// The value of a field as it is sent. Kept out of `Debug` output: it may be a secret.
///
/// # Errors
/// If a header field cannot hold the text.
pub fn field_value(text: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    secret::header_value(&[text])
}

/// Reads values that may change again, for ever. Returns at once if there are none.
pub async fn follow(routes: Vec<Arc<Route>>) {
    let fields: Vec<(&Route, &Field)> = routes
        .iter()
        .flat_map(|route| route.rules.set.iter().map(move |field| (&**route, field)))
        .filter(|(_, field)| field.source.may_change())
        .collect();
    let mut complained = vec![false; fields.len()];
    while !fields.is_empty() {
        tokio::time::sleep(POLL).await;
        for ((route, field), complained) in fields.iter().zip(&mut complained) {
            let failure = field.refresh().await.err();
            if let Some(why) = failure.as_ref().filter(|_| !*complained) {
                let (route, name) = (&route.settings.name, &field.name);
                tracing::warn!("routes.{route}.headers.set.{name}: {why}; the value read before stays in use");
            }
            *complained = failure.is_some();
        }
    }
}

impl Field {
    async fn refresh(&self) -> Result<(), String> {
        let text = secret::glance(self.source.read()).await.map_err(|error| chain(&error))?;
        let value = field_value(text.expose()).map_err(|_| "holds characters that no header field can".to_owned())?;
        if value != **self.value.load() {
            self.value.store(Arc::new(value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::SetField;
    use super::*;

    fn rules(set: &[(&'static str, &str)], remove: &[&'static str]) -> LiveRules {
        let set = set.iter().map(|(name, value)| SetField {
            name: HeaderName::from_static(name),
            source: SecretSource::inline(*value),
            value: field_value(value).unwrap(),
        });
        let remove = remove.iter().map(|name| HeaderName::from_static(name)).collect();
        LiveRules::new(&FieldRules { set: set.collect(), remove })
    }

    #[test]
    fn a_rule_leaves_exactly_one_value_or_none_whatever_the_caller_sends() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("x-tenant", "1"),
            ("x-tenant", "2"),
            ("x_tenant", "3"),
            ("cookie", "a"),
            ("x_secret", "b"),
            ("accept", "c"),
        ] {
            fields.append(name, HeaderValue::from_static(value));
        }
        rules(&[("x-tenant", "7")], &["cookie", "x-secret"]).apply(&mut fields);
        let mut left: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("accept", "c"), ("x-tenant", "7")]);
        assert!(!format!("{fields:?}").contains("\"7\""), "{fields:?}");
    }

    #[tokio::test]
    async fn a_value_in_a_file_is_read_again_and_a_bad_one_leaves_the_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let field = Field {
            name: HeaderName::from_static("x-key"),
            source: SecretSource::File(path.clone()),
            value: ArcSwap::from_pointee(HeaderValue::from_static("old")),
        };
        assert!(field.refresh().await.is_err());
        std::fs::write(&path, "a\u{1}b").unwrap();
        assert!(field.refresh().await.is_err());
        assert_eq!(**field.value.load(), "old");
        std::fs::write(&path, "new\n").unwrap();
        field.refresh().await.unwrap();
        assert_eq!(**field.value.load(), "new");
    }
}
