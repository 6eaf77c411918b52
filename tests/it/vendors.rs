//! Five real token endpoints by configuration alone: each module is a server with exactly that behaviour, and the
//! configuration is the file of `examples/` itself, with only addresses and secrets replaced.

mod auth0;
mod klearstack;
mod orglogin;
mod stretch;
mod wrapped;

use std::net::SocketAddr;

use toml::{Table, Value};

use crate::support::client::{Load, Response};
use crate::support::{
    Bearerd, Reply, Request, Setup, Standing, TokenEndpoint, Tokens, Upstream, eventually, seconds, throughout,
};

/// A vendor's server, its API, and the example file that is made for it.
struct Vendor {
    endpoint: TokenEndpoint,
    upstream: Upstream,
    setup: Setup,
    route: String,
    credential: String,
}

impl Vendor {
    /// Reads `examples/NAME.toml`. Every secret that it takes from a file is the value of that name in `secrets`.
    fn load(name: &str, lifetime: u64, secrets: &[(&str, &str)]) -> Self {
        Self::load_edited(name, lifetime, secrets, |_| {})
    }

    /// The same with another variant that the file or the vendor mentions.
    fn load_edited(name: &str, lifetime: u64, secrets: &[(&str, &str)], edit: impl Fn(&mut Table)) -> Self {
        let tokens = Tokens::new(lifetime);
        let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
        let path = format!("{}/examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut file: Table = text.parse().unwrap();
        let setup = Setup::new(endpoint.canaries());
        let route = only_name(&file, "routes");
        let credential = only_name(&file, "credentials");
        redirect(member(&mut file, &["routes", &route, "upstream"]), upstream.address());
        redirect(member(&mut file, &["credentials", &credential, "token_endpoint"]), endpoint.address());
        let replaced = place_secrets(&setup, member(&mut file, &["credentials", &credential]), secrets);
        assert_eq!(replaced, secrets.len(), "secrets of {path}");
        file.insert("listen".to_owned(), "127.0.0.1:0".into());
        file.insert("admin".to_owned(), "listen = \"127.0.0.1:0\"".parse::<Table>().unwrap().into());
        file.insert("log".to_owned(), "format = \"json\"".parse::<Table>().unwrap().into());
        edit(&mut file);
        let setup = setup.file(&toml::to_string(&file).unwrap(), &[&route]);
        Self { endpoint, upstream, setup, route, credential }
    }

    fn get(&self, bearerd: &Bearerd, target: &str) -> Response {
        Request::get(target).send(bearerd.address_of(&self.route))
    }

    fn metric(&self, bearerd: &Bearerd, name: &str) -> f64 {
        bearerd.metric(name, &[("credential", self.credential.as_str())]).expect("exists from the start")
    }

    /// First token, then renewals under load, then a revocation: what every vendor must survive.
    #[track_caller]
    fn lives(&self, path: &str) {
        let bearerd = self.setup.start_ready();
        self.get(&bearerd, path).expect(200);
        assert_eq!(self.endpoint.count(), 1);
        let load = Load::start(bearerd.address_of(&self.route), 2, seconds(0.01), Request::get(path));
        eventually("two renewals", seconds(12.0), || self.endpoint.tokens().issued().len() >= 3);
        load.stop().expect_all_ok();
        self.endpoint.tokens().set_lifetime(300);
        self.heals(&bearerd, path);
        assert_eq!(self.upstream.with_token(Standing::Expired) + self.upstream.with_token(Standing::Unknown), 0);
    }

    /// A revoked token costs the caller nothing.
    #[track_caller]
    fn heals(&self, bearerd: &Bearerd, path: &str) {
        let before = self.endpoint.tokens().issued().len();
        self.endpoint.tokens().revoke_all();
        self.get(bearerd, path).expect(200);
        assert!(self.endpoint.tokens().issued().len() > before);
    }

    /// The vendor says no for good: one attempt, 503 at once, the vendor's words in the log.
    #[track_caller]
    fn is_refused(&self, path: &str, code: &str, words: &str) {
        let bearerd = self.setup.start();
        bearerd.wait_for_log(code, 5.0);
        let line = bearerd.log_with(code).join("\n");
        assert!(line.contains(words), "{words:?} is not in {line}");
        throughout("one attempt", seconds(2.0), || self.endpoint.count() == 1);
        self.get(&bearerd, path).expect_problem(503, code);
        assert_eq!(self.upstream.count(), 0);
    }

    /// The vendor fails this time: its words are in the log, and the next try brings a token.
    #[track_caller]
    fn recovers(&self, path: &str, code: &str, words: &str) {
        let bearerd = self.setup.start();
        bearerd.wait_for_log(code, 5.0);
        let line = bearerd.log_with(code).join("\n");
        assert!(line.contains(words), "{words:?} is not in {line}");
        bearerd.wait_ready(8.0);
        self.get(&bearerd, path).expect(200);
    }
}

/// Answers by path as a real server does: this one, and 404 for the rest.
fn at(
    path: &'static str,
    reply: impl Fn(&crate::support::token_endpoint::TokenRequest, &Tokens) -> Reply + Send + Sync + 'static,
) -> Reply {
    Reply::custom(move |request, tokens| {
        let asked = request.target.split('?').next().unwrap_or_default();
        if (request.method.as_str(), asked) == ("POST", path) {
            reply(request, tokens)
        } else {
            Reply::json(404, r#"{"detail":"Not Found"}"#)
        }
    })
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.sort();
    all
}

fn sorted(mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
    fields.sort();
    fields
}

/// A JSON Web Token whose signature nobody here checks.
fn jwt(claims: &serde_json::Value) -> String {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", encode(r#"{"alg":"HS256","typ":"JWT"}"#.to_owned()), encode(claims.to_string()))
}

fn only_name(file: &Table, table: &str) -> String {
    let names: Vec<_> = file[table].as_table().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 1, "{table}: {names:?}");
    names[0].clone()
}

fn member<'a>(file: &'a mut Table, path: &[&str]) -> &'a mut Value {
    let (first, rest) = path.split_first().unwrap();
    let first = file.get_mut(*first).unwrap_or_else(|| panic!("no {first}"));
    rest.iter().fold(first, |value, name| value.get_mut(*name).unwrap_or_else(|| panic!("no {name}")))
}

/// Replaces scheme and authority of a URL.
fn redirect(url: &mut Value, to: SocketAddr) {
    let text = url.as_str().unwrap();
    let path =
        text.split_once("://").unwrap().1.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default();
    *url = format!("http://{to}{path}").into();
}

/// Puts every secret that the table takes from a file into a file of the test; how many there were.
fn place_secrets(setup: &Setup, table: &mut Value, secrets: &[(&str, &str)]) -> usize {
    let mut replaced = 0;
    for (name, value) in table.as_table_mut().unwrap() {
        let Some(file) = value.get_mut("file") else { continue };
        let secret = secrets.iter().find(|(key, _)| key == name).unwrap_or_else(|| panic!("no secret for {name}")).1;
        *file = setup.secret_file(name, &format!("{secret}\n")).to_str().unwrap().into();
        replaced += 1;
    }
    replaced
}

#[test]
fn every_example_has_its_module_here() {
    let directory = format!("{}/examples", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert_eq!(names, ["auth0.toml", "klearstack.toml", "orglogin.toml", "stretch.toml", "wrapped.toml"]);
}
