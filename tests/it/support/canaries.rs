//! Every secret of a test, and the proof that none of them came out.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The secrets that a test has used so far; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canaries(Arc<Mutex<BTreeSet<String>>>);

impl Canaries {
    /// Remembers a secret, in the encodings in which it travels, and as servers write it into what they say.
    pub(crate) fn add(&self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let encoded = [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)];
        self.0.lock().unwrap().extend(spellings(secret).into_iter().chain(encoded));
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

/// As a form, in URLs, by the functions of PHP, Python, Go and .NET for HTML and JSON.
fn spellings(secret: &str) -> Vec<String> {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let component: String = form.replace('+', "%20");
    let lenient = [("%27", "'"), ("%28", "("), ("%29", ")"), ("%21", "!"), ("%7E", "~")]
        .into_iter()
        .fold(component.clone(), |text, (escape, c)| text.replace(escape, c));
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let json = secret.replace('\\', "\\\\").replace('"', "\\\"");
    let numbered = |special: &str| {
        let write = |c: char| if special.contains(c) { format!("\\u{:04X}", u32::from(c)) } else { c.to_string() };
        json.chars().map(write).collect::<String>()
    };
    vec![
        secret.to_owned(),
        component.replace('%', "%25"),
        component.replace("%2F", "/"),
        lenient,
        component,
        form,
        html.replace('"', "&quot;").replace('\'', "&#039;"),
        html.replace('"', "&quot;").replace('\'', "&#x27;"),
        html.replace('"', "&#34;").replace('\'', "&#39;").replace('+', "&#43;"),
        json.replace('/', "\\/"),
        numbered("<>&"),
        numbered("<>&+'`"),
        json,
    ]
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
        "?client_secret=s3cret%2Fwith%20space%2Bplus",
        "?client_secret=s3cret/with%20space%2Bplus",
        "s3cret%252Fwith%2520space%252Bplus",
        "\"s3cret\\/with space+plus\"",
        "s3cret/with space\\u002Bplus",
        "s3cret/with space&#43;plus",
    ] {
        assert!(canaries.found_in(text).is_some(), "not found in {text:?}");
    }
    assert_eq!(canaries.found_in("nothing of it"), None);
}
