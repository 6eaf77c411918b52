//! How the client proves itself: Basic, fields of the body, a signed assertion.

use super::super::body::Field;
use super::super::draft::Value;
use super::super::shell::{At, Refusal, Word};
use super::super::{headers, literal};
use super::Maker;

const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Maker {
    pub(super) fn client(&mut self, user: Option<&Word>, authorization: Option<&Word>) -> Result<(), Refusal> {
        let basic = match (user, authorization) {
            (Some(user), None) => Some(headers::pair_of_user(user)?),
            (None, Some(header)) => headers::pair_of_header(header),
            (Some(user), Some(_)) => {
                return Err(Refusal::new(user.at, "-u beside a header Authorization: one of the two"));
            }
            (None, None) => None,
        };
        if let Some((id, secret, at)) = basic {
            return self.basic(&id, &secret, at);
        }
        self.client_in_fields()
    }

    fn basic(&mut self, id: &str, secret: &str, at: At) -> Result<(), Refusal> {
        if let Some(field) = self.take("client_secret")?.filter(|field| !field.value.text().is_empty()) {
            return Err(Refusal::new(
                field.at,
                "a client_secret beside Basic authentication: one of the two (RFC 6749 section 2.3)",
            ));
        }
        // Some vendors want their key in place of a user.
        match secret.is_empty() && literal::looks_random(id) {
            true => self.secret("client_id", id, at),
            false => self.open("client_id", id),
        }
        if secret.is_empty() {
            self.draft.commented("client_secret", Value::Text(String::new()), "empty, as in the curl line");
        } else {
            self.secret("client_secret", secret, at);
        }
        self.draft.key("client_authentication", Value::Text("client_secret_basic".to_owned()));
        self.draft.commented("basic_encoding", Value::Text("raw".to_owned()), "as curl sends it");
        Ok(())
    }

    fn client_in_fields(&mut self) -> Result<(), Refusal> {
        let assertion = self.take("client_assertion")?;
        let kind = self.take("client_assertion_type")?;
        let filled = |field: &Field| !field.value.text().is_empty();
        // RFC 6749 §3.1: a parameter without a value is as good as absent. Generated documentation is full of them.
        let id = self.take("client_id")?.filter(filled);
        let secret = self.take("client_secret")?.filter(filled);
        if let Some(id) = &id {
            self.open("client_id", &id.value.text());
        }
        if let Some(assertion) = assertion {
            if let Some(other) = kind
                .filter(|kind| kind.value.text() != CLIENT_ASSERTION && !literal::is_placeholder(&kind.value.text()))
            {
                return Err(Refusal::new(other.at, "a client_assertion_type that bearerd does not know"));
            }
            self.draft.key("client_authentication", Value::Text("private_key_jwt".to_owned()));
            self.secret("client_assertion", &assertion.value.text(), assertion.at);
            self.draft.notes.push("client_assertion is read from a file at every token request; to have bearerd sign it: client_assertion = { key = { file = \"key.pem\" } }".to_owned());
            return Ok(());
        }
        match (id, secret) {
            (Some(_), Some(secret)) => {
                self.secret("client_secret", &secret.value.text(), secret.at);
                self.draft.key("client_authentication", Value::Text("client_secret_post".to_owned()));
                Ok(())
            }
            (None, Some(secret)) => {
                Err(Refusal::new(secret.at, "a client_secret without a client_id: bearerd sends both or none"))
            }
            _ => Ok(()),
        }
    }
}
