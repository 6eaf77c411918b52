//! Where an issuer's token endpoint is: its metadata (RFC 8414, OpenID Connect Discovery 1.0).
//!
//! Owns which documents are asked for, what is believed of them, and for how long. A document that names another issuer than the one
//! configured is refused: whoever could plant it could have every secret sent to himself (RFC 8414 §3.3). While a document cannot be
//! read again, the last good one goes on serving.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use serde_json::Value;

use super::format;
use super::request::USER_AGENT;
use super::send::{self, Body, Deadline, NoAnswer};
use super::settings::Format;
use crate::clock::{Clock, Moment};
use crate::reason::Reason;
use crate::upstream::{Origin, Scheme, Ways};

/// How long a document is believed that says nothing of it.
const USUAL_AGE: Duration = Duration::from_secs(3600);
const SHORTEST_AGE: Duration = Duration::from_secs(300);
const LONGEST_AGE: Duration = Duration::from_secs(24 * 3600);
/// How soon a document is read again after a failure of the endpoint that it names, or of reading it.
const AGAIN: Duration = Duration::from_secs(60);

/// What is believed of an issuer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) token_endpoint: Uri,
    /// The same for clients that prove themselves by a certificate (RFC 8705 §5).
    pub(super) mtls_token_endpoint: Option<Uri>,
    pub(super) revocation_endpoint: Option<Uri>,
    /// RFC 8705 §5 again.
    pub(super) mtls_revocation_endpoint: Option<Uri>,
    /// `token_endpoint_auth_methods_supported`; `None` where the document does not say.
    pub(super) methods: Option<Vec<String>>,
    /// `revocation_endpoint_auth_methods_supported`; as for tokens where the document does not say.
    pub(super) revocation_methods: Option<Vec<String>>,
}

/// Whether a server with these methods takes id and secret in the body and in no header.
pub(super) fn takes_body_alone(methods: Option<&Vec<String>>) -> bool {
    let takes = |name: &str| methods.is_some_and(|methods| methods.iter().any(|method| method == name));
    takes("client_secret_post") && !takes("client_secret_basic")
}

/// An issuer and what was last heard of it.
#[derive(Debug)]
pub(super) struct Discovery {
    identifier: String,
    /// Whether it is on this machine.
    is_here: bool,
    allow_plain_http: bool,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    metadata: Arc<Metadata>,
    read: Moment,
    until: Moment,
}

/// What every request for a document needs.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) ways: &'a Ways,
    pub(super) clock: &'a Clock,
    pub(super) deadline: Deadline,
}

impl Discovery {
    pub(super) fn new(identifier: String, allow_plain_http: bool) -> Self {
        let origin = identifier.parse().ok().and_then(|uri: Uri| Origin::of(&uri).ok());
        let is_here = origin.is_some_and(|origin| origin.is_loopback());
        Self { identifier, is_here, allow_plain_http, known: Mutex::default() }
    }

    /// The metadata, read if they are not known or too old.
    ///
    /// # Errors
    /// [`NoAnswer`] if they were never known and cannot be read.
    pub(super) async fn metadata(&self, means: Means<'_>) -> Result<Arc<Metadata>, NoAnswer> {
        let now = means.clock.now();
        let known = self.known().clone();
        if let Some(known) = known.as_ref().filter(|known| now < known.until) {
            return Ok(Arc::clone(&known.metadata));
        }
        match (self.read(means).await, known) {
            (Ok((metadata, age)), _) => {
                let metadata = Arc::new(metadata);
                *self.known() = Some(Known { metadata: Arc::clone(&metadata), read: now, until: now + age });
                Ok(metadata)
            }
            (Err(failure), Some(known)) => {
                let issuer = &self.identifier;
                tracing::warn!(
                    issuer, code = %failure.reason, error = %failure.detail,
                    "issuer's metadata cannot be read again; going on with the last ones"
                );
                *self.known() = Some(Known { until: now + AGAIN, ..known.clone() });
                Ok(known.metadata)
            }
            (Err(failure), None) => Err(failure),
        }
    }

    /// The endpoint failed: perhaps it has moved.
    pub(super) fn doubt(&self, now: Moment) {
        if let Some(known) = &mut *self.known() {
            known.until = known.until.min(now.max(known.read + AGAIN));
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one document after the other until one is there.
    async fn read(&self, means: Means<'_>) -> Result<(Metadata, Duration), NoAnswer> {
        let mut failure = None;
        for location in locations(&self.identifier) {
            match self.read_one(&location, means).await {
                Ok(found) => return Ok(found),
                // The first place is the one that most servers have; its failure is what a person should see.
                Err(Miss::Absent(error)) => failure = failure.or(Some(error)),
                Err(Miss::Broken(error)) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| unusable("it is no URL")))
    }

    async fn read_one(&self, location: &Uri, means: Means<'_>) -> Result<(Metadata, Duration), Miss> {
        let origin = Origin::of(location).map_err(|error| Miss::Broken(unusable(&error.to_string())))?;
        let connector = means.ways.to(&origin).map_err(|error| Miss::Broken(unusable(&error.to_string())))?;
        let request = request(location, &origin).map_err(|error| Miss::Broken(unusable(&error.to_string())))?;
        let answer = send::exchange(&connector, request, means.deadline, means.clock).await.map_err(Miss::Broken)?;
        let status = answer.status;
        if status != StatusCode::OK {
            let failure = unusable(&format!("{location} answered {}", status.as_u16()));
            // A server that is down has nothing to say elsewhere either.
            return Err(if status.is_server_error() { Miss::Broken(failure) } else { Miss::Absent(failure) });
        }
        let Body::Whole(body) = &answer.body else {
            return Err(Miss::Broken(unusable(&format!("{location} did not answer in full"))));
        };
        let document = format::parse(body, &answer.headers, Format::Json)
            .map_err(|why| Miss::Absent(unusable(&format!("{location}: {why}"))))?;
        let metadata = self.believe(&document).map_err(|why| Miss::Broken(unusable(&format!("{location}: {why}"))))?;
        Ok((metadata, age(&answer.headers)))
    }

    /// What a document says, if it may say it.
    fn believe(&self, document: &Value) -> Result<Metadata, String> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let named = text(document, "issuer").ok_or("it names no issuer")?;
        if named != self.identifier {
            let hint = match named.trim_end_matches('/') == self.identifier.trim_end_matches('/') {
                true => "; write issuer exactly so",
                false => "; it must be the same, byte for byte",
            };
            return Err(format!("it names the issuer {named:?} and not {:?}{hint}", self.identifier));
        }
        let endpoint = |value: &Value, name: &str| text(value, name).map(|url| self.endpoint(name, &url)).transpose();
        let aliases = document.get("mtls_endpoint_aliases").unwrap_or(&Value::Null);
        let methods = |name: &str| {
            let methods = document.get(name).and_then(Value::as_array)?;
            Some(methods.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let of_tokens = methods("token_endpoint_auth_methods_supported");
        Ok(Metadata {
            token_endpoint: endpoint(document, "token_endpoint")?.ok_or("it has no token_endpoint")?,
            mtls_token_endpoint: endpoint(aliases, "token_endpoint")?,
            // Not needed to get tokens: an odd one is no reason to have none.
            revocation_endpoint: endpoint(document, "revocation_endpoint").ok().flatten(),
            mtls_revocation_endpoint: endpoint(aliases, "revocation_endpoint").ok().flatten(),
            // RFC 8414 §2 has `client_secret_basic` where nothing is said; servers mean what they said of tokens.
            revocation_methods: methods("revocation_endpoint_auth_methods_supported").or_else(|| of_tokens.clone()),
            methods: of_tokens,
        })
    }

    fn endpoint(&self, name: &str, url: &str) -> Result<Uri, String> {
        let uri: Uri = url.parse().map_err(|_| format!("its {name} {url:?} is no URL"))?;
        let origin = Origin::of(&uri).map_err(|error| format!("its {name} {url:?} cannot be used: {error}"))?;
        // Who is elsewhere does not know what listens on this machine.
        let stays_here = origin.is_loopback() && self.is_here;
        if origin.scheme() == Scheme::Http && !stays_here && !self.allow_plain_http {
            return Err(format!("its {name} {url:?} is plain http, which would show secrets to the network"));
        }
        Ok(uri)
    }
}

/// Whether another place may have the document.
enum Miss {
    Absent(NoAnswer),
    Broken(NoAnswer),
}

fn unusable(why: &str) -> NoAnswer {
    NoAnswer::new(Reason::TokenIssuer, why)
}

/// Where an issuer's document may be, the commonest first: appended to the issuer (OpenID Connect Discovery §4), between host and path
/// (RFC 8414 §3), and both names the other way (§5).
fn locations(issuer: &str) -> Vec<Uri> {
    let Ok(uri) = issuer.parse::<Uri>() else { return Vec::new() };
    let path = uri.path().trim_end_matches('/');
    let mut paths = vec![
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("/.well-known/openid-configuration{path}"));
        paths.push(format!("{path}/.well-known/oauth-authorization-server"));
    }
    let at = |path: String| {
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Uri::from_parts(parts).ok()
    };
    paths.into_iter().filter_map(at).collect()
}

fn request(location: &Uri, origin: &Origin) -> Result<Request<Full<Bytes>>, http::Error> {
    let target = location.path_and_query().map_or("/", PathAndQuery::as_str);
    Request::get(target)
        .header(header::HOST, origin.authority().as_str())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, HeaderValue::from_static("application/json"))
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .body(Full::default())
}

/// How long an answer may be believed, by its `Cache-Control: max-age`, within bounds.
fn age(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let seconds = values.flat_map(|value| value.split(',')).find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| value.trim().trim_matches('"').parse().ok())?
    });
    seconds.map_or(USUAL_AGE, Duration::from_secs).clamp(SHORTEST_AGE, LONGEST_AGE)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn documents_are_looked_for_where_servers_have_them() {
        let check = |issuer: &str, wanted: &[&str]| {
            let found: Vec<_> = locations(issuer).iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted, "{issuer}");
        };
        let root = [
            "https://a.example/.well-known/openid-configuration",
            "https://a.example/.well-known/oauth-authorization-server",
        ];
        check("https://a.example", &root);
        check("https://a.example/", &root);
        check(
            "https://a.example/realms/x",
            &[
                "https://a.example/realms/x/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/realms/x",
                "https://a.example/.well-known/openid-configuration/realms/x",
                "https://a.example/realms/x/.well-known/oauth-authorization-server",
            ],
        );
    }

    fn believed(document: &Value) -> Result<Metadata, String> {
        Discovery::new("https://a.example".to_owned(), false).believe(document)
    }

    #[test]
    fn a_document_is_believed_of_its_own_issuer_alone() {
        let good = json!({ "issuer": "https://a.example", "token_endpoint": "https://b.example/t",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "mtls_endpoint_aliases": { "token_endpoint": "https://mtls.example/t" },
            "revocation_endpoint": "/relative" });
        let metadata = believed(&good).unwrap();
        assert_eq!(metadata.token_endpoint, "https://b.example/t");
        assert_eq!(metadata.mtls_token_endpoint.unwrap(), "https://mtls.example/t");
        assert_eq!(metadata.methods.unwrap(), ["client_secret_post"]);
        assert_eq!(metadata.revocation_endpoint, None);
        let check = |change: (&str, Value), wanted: &str| {
            let mut document = good.clone();
            document[change.0] = change.1;
            let error = believed(&document).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        };
        check(("issuer", json!("https://evil.example")), "names the issuer \"https://evil.example\" and not");
        check(("issuer", json!("https://a.example/")), "write issuer exactly so");
        check(("issuer", json!(null)), "names no issuer");
        check(("token_endpoint", json!(null)), "has no token_endpoint");
        check(("token_endpoint", json!("http://b.example/t")), "plain http");
        check(("token_endpoint", json!("ftp://b.example/t")), "cannot be used");
        check(("token_endpoint", json!("/t")), "cannot be used");
    }

    #[test]
    fn an_issuer_elsewhere_names_no_plain_http_endpoint_on_this_machine() {
        let named = |issuer: &str, allow_plain_http, url: &str| {
            let document = json!({ "issuer": issuer, "token_endpoint": url, "revocation_endpoint": url });
            Discovery::new(issuer.to_owned(), allow_plain_http).believe(&document)
        };
        for url in ["http://127.0.0.1:8080/t", "http://localhost/t", "http://[::1]:1/t"] {
            let error = named("https://a.example", false, url).unwrap_err();
            assert!(error.contains("plain http"), "{error}");
            assert!(named("https://a.example", true, url).is_ok());
            assert!(named("https://localhost:8443", false, url).is_ok());
            assert!(named("http://127.0.0.1:9", false, url).is_ok());
        }
        assert!(named("http://127.0.0.1:9", false, "http://b.example/t").is_err());
    }

    #[test]
    fn a_document_is_believed_as_long_as_it_says_within_bounds() {
        let check = |value: &str, seconds: u64| {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(age(&headers).as_secs(), seconds, "{value}");
        };
        check("public, max-age=7200", 7200);
        check("max-age=1", 300);
        check("max-age=99999999", 86_400);
        check("no-store", 3600);
        check("Max-Age=x", 3600);
        assert_eq!(age(&HeaderMap::new()).as_secs(), 3600);
    }

    /// Answers every request with what `reply` holds at that moment; the port, and how many requests there were.
    async fn serve(reply: &Arc<Mutex<String>>) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (reply, count) = (Arc::clone(reply), Arc::new(AtomicUsize::new(0)));
        let asked = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                asked.fetch_add(1, Ordering::SeqCst);
                let text = reply.lock().unwrap().clone();
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        (port, count)
    }

    #[tokio::test]
    async fn a_document_is_read_again_when_it_is_old_or_doubted_and_the_last_good_one_serves_meanwhile() {
        let reply = Arc::new(Mutex::new(String::new()));
        let (port, count) = serve(&reply).await;
        let issuer = format!("http://127.0.0.1:{port}");
        let says = |endpoint: &str| {
            let body = json!({ "issuer": issuer, "token_endpoint": format!("{issuer}{endpoint}") }).to_string();
            *reply.lock().unwrap() = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        };
        let tls = crate::tls::Client::load(crate::tls::ClientSettings::default()).unwrap();
        let (ways, clock) = (Ways::new(tls, Duration::from_secs(20), None), Clock::for_tests());
        let discovery = Discovery::new(issuer.clone(), false);
        let check = async |wanted: &str, requests: usize| {
            let means = Means { ways: &ways, clock: &clock, deadline: Deadline::after(Duration::from_secs(20)) };
            let metadata = discovery.metadata(means).await.unwrap();
            assert_eq!((metadata.token_endpoint.path(), count.load(Ordering::SeqCst)), (wanted, requests));
        };
        says("/first");
        check("/first", 1).await;
        says("/second");
        check("/first", 1).await;
        clock.suspend_for(USUAL_AGE);
        check("/second", 2).await;
        // Its endpoint failed, but it was read just now.
        says("/third");
        discovery.doubt(clock.now());
        check("/second", 2).await;
        clock.suspend_for(AGAIN);
        check("/third", 3).await;
        *reply.lock().unwrap() = "HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_owned();
        clock.suspend_for(USUAL_AGE);
        check("/third", 4).await;
        check("/third", 4).await;
        clock.suspend_for(AGAIN);
        check("/third", 5).await;
    }
}
