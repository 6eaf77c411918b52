//! The token endpoint of a line: a URL in which placeholders may stand.
//!
//! Owns how `https://{yourDomain}/oauth/token` and `$API_URL/token` become URLs that can be written: the placeholder becomes a name
//! below `.example`, which belongs to nobody (RFC 2606), and is named as something to replace.

mod stand_ins;

use super::body::{self, Field};
use super::shell::{At, Refusal, Word};
use super::{harmless, html, literal, marks};
use crate::config;

/// A URL taken apart.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    /// Without its query.
    pub(super) url: String,
    /// As written, without `?`; may be empty.
    pub(super) query: String,
    pub(super) fields: Vec<Field>,
    /// `id:secret` that stood before the host.
    pub(super) user: Option<Word>,
    /// What has to be replaced: the text in the URL, and what it was.
    pub(super) replace: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
}

/// Reads the URL of a call, filling in variables that the line itself sets.
///
/// # Errors
/// No URL even when its placeholders are replaced; another scheme than http and https; a query that has no fields.
pub(super) fn read(word: &Word, variables: &[(String, String)]) -> Result<TokenEndpoint, Refusal> {
    let is_open = |(name, value): &&(String, String)| !literal::is_secret_name(name) && !literal::looks_random(value);
    let variables: Vec<(String, String)> = variables.iter().filter(is_open).cloned().collect();
    let text = marks::fill_in(&word.text, &variables);
    let text = text.split('#').next().unwrap_or_default();
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let base = with_brackets(base);
    let base = base.as_str();
    let mut replace = Vec::new();
    let mut notes = Vec::new();
    let query = html::without_amp(query, &mut notes);
    let (scheme, rest) = match base.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("https".to_owned(), base),
    };
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err(Refusal::new(word.at, "a URL that begins neither with https:// nor with http://"));
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(Word { text: user.to_owned(), at: word.at }), host),
        None => (None, authority),
    };
    let host = host_of(host, &mut replace);
    let path = path.map(|path| format!("/{}", path_of(path, &mut replace))).unwrap_or_default();
    let is_here = ["localhost", "127.", "[::1]"].iter().any(|here| host.starts_with(here));
    let scheme = match scheme == "http" && !is_here {
        true => {
            notes.push(
                "the curl line says http://, which would show the secret to the network: https:// is written"
                    .to_owned(),
            );
            "https"
        }
        false if !base.contains("://") && is_here => "http",
        false => &scheme,
    };
    let url = format!("{scheme}://{host}{path}");
    if config::check_url(&url).is_err() || host.is_empty() {
        return Err(Refusal::new(word.at, "no URL of a token endpoint"));
    }
    let fields = body::query(&query, word.at)?;
    body::check_names(&fields)?;
    Ok(TokenEndpoint { url, query, fields, user, replace, notes })
}

impl TokenEndpoint {
    /// A name for the credential: what the host is called, without what all hosts have.
    pub(super) fn name(&self) -> String {
        let host = self.url.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
        let labels: Vec<&str> = host.split('.').collect();
        let is_address = host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[');
        let name = match labels.as_slice() {
            _ if is_address => "",
            [.., name, "example"] => name,
            // co.uk, com.au
            [.., name, middle, last] if middle.len() <= 3 && last.len() == 2 => name,
            [.., name, _] => name,
            _ => "",
        };
        let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let name = name.trim_matches('-').get(..name.len().min(40)).unwrap_or_default().to_ascii_lowercase();
        let is_generic = ["", "localhost", "example", "url", "api", "api-url", "base-url", "host", "domain"];
        if is_generic.contains(&name.as_str()) { "api".to_owned() } else { name }
    }
}

/// Brackets that a browser has encoded.
fn with_brackets(base: &str) -> String {
    let plain = [("%7B", "{"), ("%7D", "}"), ("%3C", "<"), ("%3E", ">")];
    let both =
        plain.iter().flat_map(|(code, bracket)| [((*code).to_owned(), bracket), (code.to_ascii_lowercase(), bracket)]);
    both.fold(base.to_owned(), |text, (code, bracket)| text.replace(&code, bracket))
}

/// The host with its placeholders replaced; one that is nothing else gets `.example`.
fn host_of(host: &str, replace: &mut Vec<(String, String)>) -> String {
    let mut plain = String::new();
    let before = replace.len();
    for (piece, is_placeholder, shown) in pieces(host) {
        if is_placeholder {
            let slug = slug(&piece).to_ascii_lowercase();
            plain.push_str(&slug);
            replace.push((slug, shown));
        } else {
            piece.split_inclusive(['.', ':']).for_each(|label| plain.push_str(&label_of(label, host, replace)));
        }
    }
    let had_placeholder = replace.len() > before;
    // `URL/access/token`: a word where a host should be.
    let is_word = !plain.contains(['.', ':', '[']) && plain != "localhost" && !plain.is_empty();
    if is_word && !had_placeholder {
        replace.push((plain.clone(), host.to_owned()));
    }
    let port =
        plain.split_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let needs_domain = is_word || (had_placeholder && !plain.contains('.') && !port);
    if needs_domain { format!("{plain}.example") } else { plain }
}

/// A label, with what follows it, in small letters unless it has to be replaced.
fn label_of(written: &str, host: &str, replace: &mut Vec<(String, String)>) -> String {
    let label = written.trim_end_matches(['.', ':']);
    if stand_ins::is_label(label, host) {
        replace.push((label.to_owned(), label.to_owned()));
        return written.to_owned();
    }
    written.to_ascii_lowercase()
}

fn path_of(path: &str, replace: &mut Vec<(String, String)>) -> String {
    let mut plain = String::new();
    for (piece, is_placeholder, shown) in pieces(path) {
        if is_placeholder {
            let slug = slug(&piece);
            plain.push_str(&slug);
            replace.push((slug, shown));
        } else {
            let piece: String = piece.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
            piece.split_inclusive('/').for_each(|segment| plain.push_str(&segment_of(segment, replace)));
        }
    }
    plain
}

/// A segment, with the slash after it.
fn segment_of(written: &str, replace: &mut Vec<(String, String)>) -> String {
    let segment = written.trim_end_matches('/');
    if let Some(name) = stand_ins::name_in(segment) {
        replace.push((name.to_owned(), segment.to_owned()));
        return written.trim_start_matches(':').to_owned();
    }
    if stand_ins::is_segment(segment) {
        replace.push((segment.to_owned(), segment.to_owned()));
    }
    let slash = if segment.len() < written.len() { "/" } else { "" };
    let parts = segment.split(';').map(|part| match harmless::is_harmless_segment(part) {
        true => part.to_owned(),
        false => {
            let was = format!("{} hidden characters", part.chars().count());
            replace.push((HIDDEN.to_owned(), was));
            HIDDEN.to_owned()
        }
    });
    let parts: Vec<String> = parts.collect();
    parts.join(";") + slash
}

/// Stands for a piece of a path that may be a secret.
const HIDDEN: &str = "YOUR_PIECE";

/// Splits at `$NAME`, `{name}`, `{{name}}` and `<name>`: the text, whether it is a placeholder, and how it was written.
fn pieces(text: &str) -> Vec<(String, bool, String)> {
    let mut found = Vec::new();
    for (piece, is_mark) in marks::pieces(text) {
        if is_mark {
            found.push((piece.to_owned(), true, format!("${piece}")));
            continue;
        }
        let mut rest = piece;
        while let Some(start) =
            rest.find(['{', '<', '[']).filter(|start| !rest.get(*start..).is_some_and(|r| r.starts_with("[:")))
        {
            let (before, from) = rest.split_at(start);
            let close = match from.chars().next() {
                Some('{') => '}',
                Some('[') => ']',
                _ => '>',
            };
            let Some(end) = from.find(close) else { break };
            let end = end + from.get(end..).map_or(1, |tail| tail.chars().take_while(|c| *c == close).count());
            let (placeholder, after) = from.split_at(end);
            found.push((before.to_owned(), false, String::new()));
            found.push((placeholder.to_owned(), true, placeholder.to_owned()));
            rest = after;
        }
        found.push((rest.to_owned(), false, String::new()));
    }
    found.retain(|(piece, ..)| !piece.is_empty());
    found
}

/// Letters, digits and hyphens of a placeholder.
fn slug(placeholder: &str) -> String {
    let mut slug = String::new();
    for character in placeholder.chars() {
        match character {
            c if c.is_ascii_alphanumeric() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "replace-me".to_owned() } else { slug.to_owned() }
}

/// A word that stands nowhere, for values that came in another way.
pub(super) fn word(text: &str) -> Word {
    Word { text: text.to_owned(), at: At::Whole }
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::*;

    fn endpoint(text: &str) -> TokenEndpoint {
        let line = shell::split(text).unwrap();
        read(&line.words[0], &[]).unwrap()
    }

    #[test]
    fn placeholders_in_urls_become_names_that_belong_to_nobody() {
        let check = |text: &str, url: &str, name: &str| {
            let endpoint = endpoint(text);
            assert_eq!((endpoint.url.as_str(), endpoint.name().as_str()), (url, name), "{text}");
        };
        check("https://login.example.com/oauth/token", "https://login.example.com/oauth/token", "api");
        check("https://auth.pingone.eu/a/as/token", "https://auth.pingone.eu/a/as/token", "pingone");
        check("https://login.acme.co.uk/t", "https://login.acme.co.uk/t", "acme");
        check("'https://{yourDomain}/oauth/token'", "https://yourdomain.example/oauth/token", "yourdomain");
        check("https://$CUSTOM-DOMAIN/oauth/v2/token", "https://custom-domain.example/oauth/v2/token", "custom-domain");
        check("\"${API_URL}/auth/token\"", "https://api-url.example/auth/token", "api");
        check("URL/access/get_access_token", "https://url.example/access/get_access_token", "api");
        check("'{{authPath}}/{{envID}}/as/token'", "https://authpath.example/envID/as/token", "authpath");
        check(
            "https://<tenant>.okta.com/oauth2/<server>/v1/token",
            "https://tenant.okta.com/oauth2/server/v1/token",
            "okta",
        );
        check("localhost:9292/token", "http://localhost:9292/token", "api");
        check("http://127.0.0.1:1/t", "http://127.0.0.1:1/t", "api");
        check("login.acme.com/token", "https://login.acme.com/token", "acme");
        check("http://login.acme.com/token", "https://login.acme.com/token", "acme");
    }

    #[test]
    fn what_stands_for_the_readers_own_is_named() {
        let check = |text: &str, url: &str, replace: &[&str]| {
            let endpoint = endpoint(text);
            let found: Vec<&str> = endpoint.replace.iter().map(|(text, _)| text.as_str()).collect();
            assert_eq!((endpoint.url.as_str(), found.as_slice()), (url, replace), "{text}");
        };
        check(
            "https://YOUR_DOMAIN.auth0.com/oauth/token",
            "https://YOUR_DOMAIN.auth0.com/oauth/token",
            &["YOUR_DOMAIN"],
        );
        check("https://YOUR-TENANT.Example.com:8443/t", "https://YOUR-TENANT.example.com:8443/t", &["YOUR-TENANT"]);
        check("https://your-tenant.eu.auth0.com/t", "https://your-tenant.eu.auth0.com/t", &["your-tenant"]);
        check("https://yourDomain.okta.com/t", "https://yourDomain.okta.com/t", &["yourDomain"]);
        check("https://TENANT.auth0.com/t", "https://TENANT.auth0.com/t", &["TENANT"]);
        check("https://YOUR_DOMAIN/oauth/token", "https://YOUR_DOMAIN.example/oauth/token", &["YOUR_DOMAIN"]);
        check("https://x.acme.com/:tenant/token", "https://x.acme.com/tenant/token", &["tenant"]);
        check("https://x.acme.com/{tenant}/token", "https://x.acme.com/tenant/token", &["tenant"]);
        check("https://x.acme.com/%7Btenant%7D/token", "https://x.acme.com/tenant/token", &["tenant"]);
        check("https://x.acme.com/YOUR_TENANT/v2/token", "https://x.acme.com/YOUR_TENANT/v2/token", &["YOUR_TENANT"]);
        check("https://x.acme.com/TENANT_ID/token", "https://x.acme.com/TENANT_ID/token", &["TENANT_ID"]);
        check("https://x.acme.com/your-realm/token", "https://x.acme.com/your-realm/token", &["your-realm"]);
        check("https://LOGIN.ACME.COM/API/a:b/token", "https://login.acme.com/API/a:b/token", &[]);
        check("https://yourls.acme.com/yours/token", "https://yourls.acme.com/yours/token", &[]);
    }

    #[test]
    fn query_and_user_are_taken_out() {
        let endpoint = endpoint("'https://id:pw@x.acme.com/t?a=b&c=d#f'");
        assert_eq!((endpoint.url.as_str(), endpoint.query.as_str()), ("https://x.acme.com/t", "a=b&c=d"));
        assert_eq!(endpoint.user.unwrap().text, "id:pw");
        assert_eq!(endpoint.fields.len(), 2);
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in ["ftp://x.example.com/", "'https:///x'", "'https://a b/'", "'https://x.example.com/t?hunter22'"] {
            let line = shell::split(text).unwrap();
            assert!(read(&line.words[0], &[]).is_err(), "{text}");
        }
    }
}
