//! An authorization server that takes one client secret or, while it is rotated, two.

use std::sync::{Arc, Mutex};

use crate::support::{Reply, Setup, TokenEndpoint, Upstream, eventually, seconds, stage};

const CLIENT: &str = "svc";

/// The endpoint, an upstream for its tokens, and a bearerd between them whose secret stands in a file.
pub(crate) struct RotatedSecret {
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) upstream: Upstream,
    pub(crate) setup: Setup,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    /// What is taken now.
    secrets: Vec<String>,
    /// What came last.
    last: String,
    /// Requests that came with anything else.
    refused: usize,
}

impl RotatedSecret {
    /// Tokens of `lifetime` seconds; `file` is where bearerd looks for the secret.
    pub(crate) fn stage(lifetime: u64, file: &str, first: &str) -> Self {
        let (endpoint, upstream, setup) = stage(lifetime);
        let taken = Arc::new(Mutex::new(Taken::default()));
        let shared = Arc::clone(&taken);
        endpoint.always(Reply::custom(move |request, _| {
            let mut taken = shared.lock().unwrap();
            let sent = request.basic().and_then(|pair| pair.strip_prefix("svc:").map(str::to_owned));
            taken.last = sent.unwrap_or_default();
            if taken.secrets.contains(&taken.last) {
                return Reply::Token;
            }
            taken.refused += 1;
            Reply::json(401, r#"{"error":"invalid_client"}"#)
        }));
        let credential = format!(
            "token_endpoint = \"{}\"\nclient_id = \"{CLIENT}\"\nclient_secret = {{ file = \"{file}\" }}\n",
            endpoint.url()
        );
        let setup = setup.credential_only(&upstream.url(), &credential);
        let rotated = Self { endpoint, upstream, setup, taken };
        rotated.take_only(&[first]);
        rotated
    }

    /// Takes these from now on, and nothing else.
    pub(crate) fn take_only(&self, secrets: &[&str]) {
        for secret in secrets {
            self.endpoint.canaries().add_basic(CLIENT, secret);
        }
        self.taken.lock().unwrap().secrets = secrets.iter().map(|&secret| secret.to_owned()).collect();
    }

    /// Whether the last token request came with this one.
    pub(crate) fn has_come(&self, secret: &str) -> bool {
        self.taken.lock().unwrap().last == secret
    }

    /// Token requests with a secret that was not taken.
    pub(crate) fn refused(&self) -> usize {
        self.taken.lock().unwrap().refused
    }

    /// Rotates as people do: the old one is taken until the new one has come, and no longer. `publish` puts it where bearerd looks.
    pub(crate) fn rotate(&self, old: &str, new: &str, publish: impl FnOnce(&str)) {
        self.take_only(&[old, new]);
        publish(new);
        eventually("the new secret comes", seconds(30.0), || self.has_come(new));
        self.take_only(&[new]);
    }
}
