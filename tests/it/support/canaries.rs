//! Every secret of a test, and the proof that none of them came out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The secrets that a test has used so far; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries(Arc<Mutex<BTreeSet<String>>>);

impl Canaries {
    /// Remembers a secret, in the encodings in which it travels.
    pub(crate) fn add(&self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut all = self.0.lock().unwrap();
        for known in [secret.to_owned(), form, STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)] {
            all.insert(known);
        }
    }

    /// Remembers what HTTP Basic makes of an id and a secret.
    pub(crate) fn add_basic(&self, id: &str, secret: &str) {
        self.add(secret);
        self.0.lock().unwrap().insert(STANDARD.encode(format!("{id}:{secret}")));
    }

    /// The first secret that stands in `text`, and the text around it.
    pub(crate) fn found_in(&self, text: &str) -> Option<String> {
        let all = self.0.lock().unwrap();
        let at = all.iter().find_map(|canary| text.find(canary.as_str()))?;
        let line = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        text.get(line..).and_then(|from| from.lines().next()).map(str::to_owned)
    }
}

#[test]
fn a_canary_is_found_in_every_encoding_that_we_send() {
    let canaries = Canaries::default();
    canaries.add_basic("svc", "s3cret/with space+plus");
    for text in [
        "x s3cret/with space+plus y",
        "a=b&client_secret=s3cret%2Fwith+space%2Bplus",
        "Basic c3ZjOnMzY3JldC93aXRoIHNwYWNlK3BsdXM=",
        "first line\nsecond s3cret/with space+plus",
    ] {
        assert!(canaries.found_in(text).is_some(), "not found in {text:?}");
    }
    assert_eq!(canaries.found_in("nothing of it"), None);
}
