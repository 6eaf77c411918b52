//! Flags and `BEARERD_…` variables, laid over the document of the file.
//!
//! Owns the one table from which flags, variables and their help are made, so that none can be forgotten: [`SETTINGS`].
//! A flag sets the same key that the file would, and meets the same checks. Flags win over variables, variables over the
//! file. No flag carries a secret; variables may.

use super::context::Context;
use super::document::{Entry, Node, Table, Value};
use super::environment::Environment;
use super::mistake::Place;
use super::words;
use crate::reason::Reason;

/// One flag and its variable.
#[derive(Debug)]
pub struct Setting {
    /// `token-endpoint` is the flag `--token-endpoint` and the variable `BEARERD_TOKEN_ENDPOINT`.
    pub flag: &'static str,
    /// How help calls its value.
    pub value_name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// What its value is.
    pub shape: Shape,
    /// The heading it stands under in the help.
    pub heading: &'static str,
    /// The keys that it sets; `*` is the only route or credential.
    targets: &'static [&'static str],
}

/// What the value of a flag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One text. An empty variable counts as not set.
    Text,
    /// One text that may be empty.
    EmptyText,
    /// An integer.
    Integer,
    /// True without a value.
    Boolean,
    /// Likewise, or a number from 0 to 1.
    Share,
    /// May be repeated; in the variable separated by commas or white space.
    List,
    /// `NAME=VALUE`, may be repeated; in the variable one a line.
    Pairs,
    /// `NAME=FILE`, may be repeated; in the variable one a line. The file holds the value.
    PairFiles,
    /// A file that holds a secret.
    SecretFile,
    /// A secret itself: a variable alone, never a flag.
    SecretVariable,
}

/// A flag that was given, with its values.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which.
    pub setting: &'static Setting,
    /// As written, at least one.
    pub values: Vec<String>,
}

const SIDECAR: &str = "What to forward to, and how to get a token (all a sidecar needs)";
const LISTEN: &str = "Listening";
const TOKEN: &str = "Token request details";
const PROCESS: &str = "Process";

macro_rules! settings {
    ($( $heading:ident $shape:ident $flag:literal $value:literal [$($target:literal),+] $help:literal; )+) => {
        /// Every flag and variable that sets a key of the configuration.
        pub static SETTINGS: &[Setting] = &[ $( Setting {
            flag: $flag, value_name: $value, help: $help, shape: Shape::$shape, heading: $heading,
            targets: &[$($target),+],
        }, )+ ];

        /// `--flag`, for places.
        fn dashed(flag: &str) -> &'static str {
            match flag { $( $flag => concat!("--", $flag), )+ _ => "--" }
        }
    };
}

settings! {
    SIDECAR Text "upstream" "URL" ["routes.*.upstream"] "The API to forward to: origin and base path";
    SIDECAR Text "token-endpoint" "URL" ["credentials.*.token_endpoint"] "Where tokens are asked for";
    SIDECAR Text "issuer" "URL" ["credentials.*.issuer"] "Who says where tokens are asked for, instead of --token-endpoint";
    SIDECAR Text "client-id" "ID" ["credentials.*.client_id"] "Client identifier";
    SIDECAR SecretFile "client-secret-file" "FILE" ["credentials.*.client_secret"]
        "File with the client secret, read again at every token request";
    SIDECAR SecretVariable "client-secret" "" ["credentials.*.client_secret"] "The client secret";
    SIDECAR Text "username" "NAME" ["credentials.*.username"] "User name, for a password login";
    SIDECAR SecretFile "password-file" "FILE" ["credentials.*.password"] "File with the password";
    SIDECAR SecretVariable "password" "" ["credentials.*.password"] "The password";
    SIDECAR EmptyText "scope" "SCOPE" ["credentials.*.scope"] "Scope to ask for; left out, none is sent";
    SIDECAR Text "audience" "AUDIENCE" ["credentials.*.audience"] "Audience to ask for";

    LISTEN List "listen" "ADDRESS" ["listen"] "Where applications call [default: localhost:8080]";
    LISTEN Text "path" "PREFIX" ["routes.*.path"] "Forward only paths below this prefix, without it [default: /]";
    LISTEN Text "admin-listen" "ADDRESS" ["admin.listen"]
        "Health, metrics and status, or \"off\" [default: localhost:9180]";
    LISTEN Text "probe-listen" "ADDRESS" ["admin.probe_listen"] "Serve probes and metrics alone, to anybody";
    LISTEN List "allow-from" "RANGE" ["callers.from"]
        "Who may call beyond loopback: address ranges, or \"any\"";
    LISTEN List "allow-host" "NAME" ["callers.hosts"] "Host names that callers may use besides the usual ones";
    LISTEN Boolean "keep-host" "BOOL" ["routes.*.keep_host"] "Forward the caller's Host";

    TOKEN Text "grant-type" "GRANT" ["credentials.*.grant_type"]
        "client_credentials, password, refresh_token, jwt-bearer, token-exchange or none [default: by what is given]";
    TOKEN SecretFile "refresh-token-file" "FILE" ["credentials.*.refresh_token"]
        "File with the refresh token that is the only credential";
    TOKEN SecretFile "assertion-file" "FILE" ["credentials.*.assertion"] "File with the JWT of the grant jwt-bearer";
    TOKEN SecretFile "subject-token-file" "FILE" ["credentials.*.subject_token"] "File with the token to exchange";
    TOKEN Text "client-authentication" "METHOD" ["credentials.*.client_authentication"]
        "client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth or none \
         [default: by what is given]";
    TOKEN SecretFile "client-assertion-file" "FILE" ["credentials.*.client_assertion"]
        "File with a JWT that proves the client, read again at every token request";
    TOKEN SecretFile "client-key-file" "FILE" ["credentials.*.client_assertion.key"]
        "File with a private key (PEM or JWK) to sign such JWTs with";
    TOKEN Text "client-key-id" "ID" ["credentials.*.client_assertion.key_id"] "The key's id (kid) in their header";
    TOKEN Text "basic-encoding" "ENCODING" ["credentials.*.basic_encoding"]
        "form (RFC 6749) or raw, for client_secret_basic [default: form]";
    TOKEN Text "encoding" "ENCODING" ["credentials.*.encoding"] "form, json, multipart or query [default: form]";
    TOKEN Text "method" "METHOD" ["credentials.*.method"] "Method of the token request [default: POST]";
    TOKEN List "resource" "URI" ["credentials.*.resource"] "Resource to ask for (RFC 8707); may be repeated";
    TOKEN Pairs "param" "NAME=VALUE" ["credentials.*.params"] "One more field of the token request; may be repeated";
    TOKEN PairFiles "param-file" "NAME=FILE" ["credentials.*.params"] "The same, with the value in a file";
    TOKEN PairFiles "token-header-file" "NAME=FILE" ["credentials.*.headers"]
        "One more header of the token request, with the value in a file";
    TOKEN EmptyText "response-access-token" "POINTER" ["credentials.*.response.access_token"]
        "JSON Pointer to the token in the answer [default: /access_token]";
    TOKEN Text "response-expires-in" "POINTER" ["credentials.*.response.expires_in"]
        "JSON Pointer to its lifetime in seconds [default: /expires_in]";
    TOKEN Text "default-lifetime" "TIME" ["credentials.*.response.default_lifetime"]
        "Lifetime if neither the answer nor a JWT says [default: 1h]";
    TOKEN Text "early" "SHARE|TIME" ["credentials.*.refresh.early"]
        "Renew this long before expiry: \"20%\" or \"5m\" [default: 20%, at most 1h]";
    TOKEN Boolean "lockout" "BOOL" ["credentials.*.lockout"]
        "Whether wrong tries may lock the account [default: true with a password or steps]";
    TOKEN Text "inject-header" "NAME" ["credentials.*.inject.header"]
        "Header that carries the token [default: Authorization]";
    TOKEN EmptyText "inject-scheme" "SCHEME" ["credentials.*.inject.scheme"]
        "Scheme before the token, \"\" for none [default: Bearer]";

    PROCESS Text "ca-file" "FILE" ["routes.*.tls.ca", "credentials.*.tls.ca"]
        "PEM file of the authorities to trust instead of the platform's";
    PROCESS Text "upstream-ca-file" "FILE" ["routes.*.tls.ca"] "The same for the upstream alone";
    PROCESS Text "token-endpoint-ca-file" "FILE" ["credentials.*.tls.ca"] "The same for the token endpoint alone";
    PROCESS Text "certificate-file" "FILE" ["routes.*.tls.certificate", "credentials.*.tls.certificate"]
        "PEM file of the client certificate to show (mTLS)";
    PROCESS Text "certificate-key-file" "FILE" ["routes.*.tls.key", "credentials.*.tls.key"] "Its private key";
    PROCESS Boolean "allow-plain-http" "BOOL" ["routes.*.allow_plain_http", "credentials.*.allow_plain_http"]
        "Allow plain http beyond this machine";
    PROCESS Text "state-directory" "DIRECTORY" ["state_directory"] "Where what must survive a restart is kept";
    PROCESS Text "store" "KIND" ["store.kind"]
        "Where tokens are kept: memory, file or redis [default: memory]";
    PROCESS Text "store-url" "URL" ["store.url"] "The Redis or Valkey: redis://HOST:6379/0, or rediss:// with TLS";
    PROCESS SecretFile "store-password-file" "FILE" ["store.password"] "File with its password";
    PROCESS SecretVariable "store-password" "" ["store.password"] "Its password";
    PROCESS SecretFile "seal-key-file" "FILE" ["store.seal_key"]
        "File with the key that seals what is stored: the same for all who share it";
    PROCESS SecretVariable "seal-key" "" ["store.seal_key"] "The key itself";
    PROCESS Integer "workers" "NUMBER" ["workers"] "Worker threads [default: usable CPUs, at most 4]";
    PROCESS Text "drain-delay" "TIME" ["timeouts.drain_delay"]
        "Go on serving this long after SIGTERM, readiness already false [default: 0s]";
    PROCESS Text "drain" "TIME" ["timeouts.drain"] "How long requests in flight may take at the end [default: 25s]";
    PROCESS Text "log-level" "LEVEL" ["log.level"] "error, warn, info, debug or trace [default: info]";
    PROCESS Text "log-format" "FORMAT" ["log.format"] "auto, text or json [default: auto]";
    PROCESS Share "access-log" "SHARE" ["log.access"] "One log line for each request, or for a share of them: 0.01";
}

impl Setting {
    /// Whether it can be written on the command line.
    pub fn is_flag(&self) -> bool {
        self.shape != Shape::SecretVariable
    }

    /// `BEARERD_TOKEN_ENDPOINT`.
    pub fn variable(&self) -> String {
        format!("BEARERD_{}", self.flag.to_ascii_uppercase().replace('-', "_"))
    }

    /// Whether it describes a route or a credential, so that it can stand instead of a file.
    pub fn is_about_routes(&self) -> bool {
        self.targets.iter().any(|target| target.contains('*'))
    }
}

const PREFIX: &str = "BEARERD_";

/// Variables that the command line itself reads.
pub const CLI_VARIABLES: &[&str] = &["BEARERD_CONFIG", "BEARERD_IGNORE_UNKNOWN_KEYS"];

/// Whether the environment describes a route or a credential.
pub fn environment_describes_routes(environment: &Environment) -> bool {
    variable_about_routes(environment).is_some()
}

/// The first variable that describes a route or a credential.
pub fn variable_about_routes(environment: &Environment) -> Option<String> {
    let is_given = |setting: &&Setting| setting.is_about_routes() && !from_variable(setting, environment).is_empty();
    SETTINGS.iter().find(is_given).map(Setting::variable)
}

/// How to write a key on the command line: `--upstream https://api.example.com (or BEARERD_UPSTREAM)`.
pub(super) fn flag_of(key: &str, example: &str) -> Option<String> {
    let setting = SETTINGS.iter().find(|setting| setting.targets.iter().any(|target| matches(target, key)))?;
    let dashed = dashed(setting.flag);
    Some(format!("{dashed} {example} (or {})", setting.variable()))
}

fn matches(target: &str, key: &str) -> bool {
    let (mut target, mut key) = (target.split('.'), key.split('.'));
    loop {
        match (target.next(), key.next()) {
            (None, None) => return true,
            (Some(t), Some(k)) if t == "*" || t == k => {}
            _ => return false,
        }
    }
}

/// Lays variables and then flags over the document. A document without a file starts with the route and the credential
/// `default`.
pub(super) fn apply(context: &Context<'_>, table: &mut Table, flags: &[Given], has_file: bool) {
    if !has_file {
        for kind in ["routes", "credentials"] {
            table.set(&[kind.to_owned(), "default".to_owned()], Node::table(Place::CommandLine));
        }
    }
    check_variables(context);
    for setting in SETTINGS {
        let values = from_variable(setting, context.environment);
        if !values.is_empty() {
            lay(context, table, setting, &values, &Place::Variable(setting.variable()));
        }
    }
    for given in flags {
        lay(context, table, given.setting, &given.values, &Place::Flag(dashed(given.setting.flag)));
    }
}

fn from_variable(setting: &Setting, environment: &Environment) -> Vec<String> {
    let name = setting.variable();
    let Some(value) = environment.value(&name) else { return Vec::new() };
    // Not UTF-8: the secret's own reader says so; elsewhere the replacement makes a value that its reader refuses.
    let value = value.map_or("\u{fffd}", |value| value.expose());
    let nonempty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match setting.shape {
        Shape::SecretVariable => vec![name],
        Shape::EmptyText => vec![value.to_owned()],
        Shape::List => value.split(|c: char| c == ',' || c.is_whitespace()).filter_map(nonempty).collect(),
        Shape::Pairs | Shape::PairFiles => value.lines().map(str::trim).filter_map(nonempty).collect(),
        _ => nonempty(value.trim()).into_iter().collect(),
    }
}

fn check_variables(context: &Context<'_>) {
    for name in context.environment.our_names() {
        let is_known = SETTINGS.iter().any(|setting| setting.variable() == name) || CLI_VARIABLES.contains(&name);
        if is_known || is_of_kubernetes(name) || is_of_exec(name) {
            continue;
        }
        let near = meant_variable(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let place = Place::Variable(name.to_owned());
        let message = format!("unknown variable{near}");
        if context.ignore_unknown_keys() {
            context.warning(place, Reason::ConfigUnknownKey, "", format!("{message} (ignored)"));
        } else {
            context.mistake(place, Reason::ConfigUnknownKey, "", message);
        }
    }
    for kind in ["client-secret", "password", "store-password", "seal-key"] {
        let [value, file] = [kind.to_owned(), format!("{kind}-file")].map(|flag| {
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag)?;
            (!from_variable(setting, context.environment).is_empty()).then(|| setting.variable())
        });
        if let (Some(value), Some(file)) = (value, file) {
            let message = format!("stands beside {file}: set one of them");
            context.mistake(Place::Variable(value), Reason::ConfigContradiction, "", message);
        }
    }
}

/// The variable that was most likely meant. All begin alike, so that the rest alone says which.
fn meant_variable(name: &str) -> Option<String> {
    let known: Vec<_> = SETTINGS.iter().map(Setting::variable).collect();
    let known = known.iter().map(String::as_str).chain(CLI_VARIABLES.iter().copied());
    let known: Vec<_> = known.map(|name| name.trim_start_matches(PREFIX).to_ascii_lowercase()).collect();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let meant = words::meant(name.strip_prefix(PREFIX)?, &known)?;
    Some(format!("{PREFIX}{}", meant.to_ascii_uppercase()))
}

/// What `exec` tells the command that it runs, which may be another bearerd.
fn is_of_exec(name: &str) -> bool {
    name == "BEARERD_URL" || name.starts_with("BEARERD_URL_")
}

/// What Kubernetes puts into the environment for every Service of the namespace: for one called `bearerd` or `bearerd-x`,
/// `BEARERD_SERVICE_HOST`, `BEARERD_PORT`, `BEARERD_X_PORT_80_TCP_ADDR` and the like.
fn is_of_kubernetes(name: &str) -> bool {
    let is_link = name.rsplit_once("_PORT_").is_some_and(|(_, rest)| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    name.contains("_SERVICE_") || name.ends_with("_PORT") || name.starts_with("BEARERD_PORT_") || is_link
}

fn lay(context: &Context<'_>, table: &mut Table, setting: &Setting, values: &[String], place: &Place) {
    for target in setting.targets {
        let path = match resolve(table, target) {
            Ok(path) => path,
            Err(message) => {
                context.mistake(place.clone(), Reason::ConfigContradiction, "", message);
                return;
            }
        };
        match setting.shape {
            Shape::Pairs | Shape::PairFiles => lay_pairs(context, table, setting, values, place, &path),
            _ => {
                if let Some(node) = node(setting.shape, values, place) {
                    table.set(&path, node);
                }
            }
        }
    }
}

fn lay_pairs(
    context: &Context<'_>,
    table: &mut Table,
    setting: &Setting,
    values: &[String],
    place: &Place,
    path: &[String],
) {
    for pair in values {
        let Some((name, value)) = pair.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            // The value is not shown: it may be a secret that was put in the wrong place.
            let message = format!("must be {}", setting.value_name);
            context.mistake(place.clone(), Reason::ConfigWrongValue, path.join("."), message);
            continue;
        };
        let node = match setting.shape {
            Shape::PairFiles => reference("file", value, place),
            _ => Node::text(place.clone(), value),
        };
        let path: Vec<_> = path.iter().cloned().chain([name.to_owned()]).collect();
        table.set(&path, node);
    }
}

fn node(shape: Shape, values: &[String], place: &Place) -> Option<Node> {
    let text = |value: &String| Node::text(place.clone(), value.as_str());
    // A flag given twice means its last value.
    let last = values.last()?;
    Some(match shape {
        Shape::List => {
            let items = values.iter().map(text).collect();
            Node { place: place.clone(), value: Value::List(items) }
        }
        Shape::Integer => match last.parse() {
            Ok(number) => Node { place: place.clone(), value: Value::Integer(number) },
            Err(_) => text(last),
        },
        Shape::Boolean => match last.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Node { place: place.clone(), value: Value::Boolean(true) },
            "false" | "0" | "no" | "off" => Node { place: place.clone(), value: Value::Boolean(false) },
            _ => text(last),
        },
        Shape::Share => match last.parse() {
            Ok(share) => Node { place: place.clone(), value: Value::Float(share) },
            Err(_) => return node(Shape::Boolean, values, place),
        },
        Shape::SecretFile => reference("file", last, place),
        Shape::SecretVariable => reference("env", last, place),
        _ => text(last),
    })
}

fn reference(kind: &str, to: &str, place: &Place) -> Node {
    let entry = Entry { key: kind.to_owned(), key_place: place.clone(), node: Node::text(place.clone(), to) };
    Node { place: place.clone(), value: Value::Table(Table { entries: vec![entry] }) }
}

/// The path of a target, with the only route or credential in the place of `*`.
fn resolve(table: &Table, target: &str) -> Result<Vec<String>, String> {
    let mut path: Vec<String> = target.split('.').map(str::to_owned).collect();
    let kind = path.first().cloned().unwrap_or_default();
    let Some(star) = path.iter_mut().find(|part| *part == "*") else { return Ok(path) };
    let names = match table.entry(&kind).map(|entry| &entry.node.value) {
        Some(Value::Table(named)) => named.entries.as_slice(),
        _ => &[],
    };
    *star = match names {
        [] => "default".to_owned(),
        [only] => only.key.clone(),
        _ => return Err(format!("the file has several {kind}: write it there, in the one that is meant")),
    };
    Ok(path)
}
