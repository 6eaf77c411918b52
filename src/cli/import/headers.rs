//! The header fields of a call: which of them are curl's or ours, and who is in `Authorization`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::endpoint::TokenEndpoint;
use super::literal;
use super::marks;
use super::shell::{At, Refusal, Word};

/// Client id and secret, and where they stood.
pub(super) type Pair = (String, String, At);

/// The header fields that are not curl's or ours.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) content_type: Option<Word>,
    pub(super) authorization: Option<Word>,
    /// In lower case, in their order.
    pub(super) others: Vec<(String, Word)>,
}

impl Headers {
    /// Sorts the headers of a call.
    ///
    /// # Errors
    /// Headers from a file, twice, or of another host.
    pub(super) fn read(words: &[Word], endpoint: &TokenEndpoint) -> Result<Self, Refusal> {
        let mut headers = Self::default();
        for word in words {
            if word.text.starts_with('@') {
                return Err(Refusal::new(word.at, "headers from a file: write them into the line"));
            }
            // `Name:` removes one, `Name;` sends an empty one.
            let Some((name, value)) = word.text.split_once(':').filter(|(_, value)| !value.trim().is_empty()) else {
                continue;
            };
            let (name, value) = (name.trim(), Word { text: value.trim().to_owned(), at: word.at });
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Refusal::new(word.at, "a header whose name no header can have"));
            }
            match name.to_ascii_lowercase().as_str() {
                "content-type" => headers.content_type = Some(value),
                "authorization" => headers.authorization = Some(value),
                // Said by bearerd itself, or by the fields.
                "content-length" | "connection" | "accept-encoding" | "transfer-encoding" | "expect" | "te"
                | "upgrade" | "trailer" => {}
                "accept" if value.text.starts_with("application/json") || value.text == "*/*" => {}
                "cache-control" | "postman-token" => {}
                "host" if endpoint.url.contains(&format!("://{}", value.text)) => {}
                "host" => {
                    return Err(Refusal::new(word.at, "a Host that is not the URL's, which bearerd does not send"));
                }
                lower if headers.others.iter().any(|(other, _)| other == lower) => {
                    return Err(Refusal::new(word.at, "a header that is there already"));
                }
                lower => headers.others.push((lower.to_owned(), value)),
            }
        }
        Ok(headers)
    }
}

/// The pair of `-u`.
///
/// # Errors
/// No colon, no id.
pub(super) fn pair_of_user(user: &Word) -> Result<Pair, Refusal> {
    let Some((id, secret)) = user.text.split_once(':') else {
        let what = "a user without a password: write -u ID:SECRET, or -u ID: if the secret is empty";
        return Err(Refusal::new(user.at, what));
    };
    if id.is_empty() {
        return Err(Refusal::new(user.at, "a user without a name"));
    }
    Ok((id.to_owned(), secret.to_owned(), user.at))
}

/// The pair of `Authorization: Basic …`; `None` if it is no Basic, or nothing that can be read.
pub(super) fn pair_of_header(header: &Word) -> Option<Pair> {
    let (scheme, value) = header.text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let value = value.trim();
    let pair = |text: &str| {
        let (id, secret) = text.split_once(':').filter(|(id, _)| !id.is_empty())?;
        Some((id.to_owned(), secret.to_owned(), header.at))
    };
    if let Some(text) = marks::base64_of(value) {
        return pair(text);
    }
    let decoded = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some(text) = decoded.filter(|text| !text.contains(|c: char| c.is_control() || marks::is_private(c))) {
        return pair(&text);
    }
    // `Basic <base64(client_id:client_secret)>` and the like.
    literal::is_placeholder(value).then(|| ("YOUR_CLIENT_ID".to_owned(), "YOUR_CLIENT_SECRET".to_owned(), header.at))
}
