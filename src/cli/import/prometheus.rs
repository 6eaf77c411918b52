//! `oauth2:` blocks of Prometheus, wherever they stand in its configuration.
//!
//! Owns what each key of such a block is called in a credential. Prometheus speaks of Go's oauth2 package, which sends id and secret
//! by HTTP Basic, form-encoded (RFC 6749 §2.3.1): bearerd's own default. A literal secret is not copied: its place becomes a file.

mod members;
mod yaml;

use std::path::Path;

use self::yaml::{Data, Node};
use super::draft::{Draft, Key, Needed, Value};
use super::literal;
use super::shell::At;
use crate::config;

/// What was read: blocks that became credentials, and why others did not.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) drafts: Vec<Draft>,
    pub(super) refused: Vec<String>,
}

/// Reads every block. Relative paths in it are relative to `base`.
///
/// # Errors
/// The text is no YAML, or holds no block: with `LINE:COLUMN` where there is one.
pub(super) fn read(text: &str, base: Option<&Path>) -> Result<Found, String> {
    let documents = yaml::documents(text).map_err(|place| format!("{}:{}: is not YAML", place.line, place.column))?;
    let mut found = Found::default();
    for document in &documents {
        let is_block = member(document, "token_url").is_some();
        match is_block {
            true => found.add("oauth2", document, document, base),
            false => walk(document, "", &mut found, base),
        }
    }
    match found.drafts.is_empty() && found.refused.is_empty() {
        true => Err(" no oauth2 block in it".to_owned()),
        false => Ok(found),
    }
}

/// Depth first, with the key under which a node stands.
fn walk(node: &Node, under: &str, found: &mut Found, base: Option<&Path>) {
    match &node.data {
        Data::Mapping(members) => {
            for (key, value) in members {
                match key.as_str() {
                    "oauth2" => found.add(under, node, value, base),
                    key => walk(value, key, found, base),
                }
            }
        }
        Data::List(items) => items.iter().for_each(|item| walk(item, under, found, base)),
        Data::Text(_) => {}
    }
}

impl Found {
    fn add(&mut self, under: &str, parent: &Node, block: &Node, base: Option<&Path>) {
        let name = self.name(under, parent);
        match credential(name, parent, block, base) {
            Ok(draft) => self.drafts.push(draft),
            Err(mistake) => self.refused.push(mistake),
        }
    }

    /// After the job, else after the place; each name once.
    fn name(&self, under: &str, parent: &Node) -> String {
        let given = ["job_name", "name"].iter().find_map(|key| text(member(parent, key)?));
        let name = given.unwrap_or_else(|| under.trim_end_matches("_configs").trim_end_matches("_config").to_owned());
        let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let name: String = name.chars().map(legal).take(56).collect();
        let name = if name.trim_matches('-').is_empty() { "api".to_owned() } else { name };
        let is_taken = |name: &str| self.drafts.iter().any(|draft| draft.name == name);
        match is_taken(&name) {
            false => name,
            true => (2..).map(|n| format!("{name}-{n}")).find(|name| !is_taken(name)).unwrap_or(name),
        }
    }
}

/// `LINE:COLUMN: what`.
fn at(node: &Node, what: &str) -> String {
    format!("{}:{}: {what}", node.line, node.column)
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get(name)
}

/// A scalar as text.
fn text(node: &Node) -> Option<String> {
    node.text().map(str::to_owned)
}

struct Maker<'a> {
    draft: Draft,
    base: Option<&'a Path>,
    /// `endpoint_params` that have no key of their own.
    params: Vec<(String, Value)>,
    comments: Vec<String>,
}

fn credential(name: String, parent: &Node, block: &Node, base: Option<&Path>) -> Result<Draft, String> {
    let Data::Mapping(members) = &block.data else { return Err(at(block, "oauth2 is no mapping")) };
    let origin = format!("Made of the oauth2 block at line {} by `bearerd import prometheus`.", block.line);
    let draft = Draft { upstream: upstream(parent), origin, name, ..Draft::default() };
    let mut maker = Maker { draft, base, params: Vec::new(), comments: Vec::new() };
    maker.endpoint(block)?;
    maker.grant(block)?;
    for (key, value) in members {
        maker.member(block, key.as_str(), value)?;
    }
    if !maker.params.is_empty() {
        let comment = (!maker.comments.is_empty()).then(|| maker.comments.join("\n"));
        let value = Value::Table(std::mem::take(&mut maker.params));
        maker.draft.keys.push(Key { name: "params".to_owned(), value, comment });
    }
    Ok(maker.draft)
}

/// The target, if it is one and its scheme is https: http would need more than a line.
fn upstream(parent: &Node) -> Option<String> {
    let is_usable = |url: &String| url.starts_with("https://") && config::check_url(url).is_ok();
    if let Some(url) = member(parent, "url").and_then(text) {
        let origin: String = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        return Some(origin).filter(is_usable);
    }
    let Data::List(groups) = &member(parent, "static_configs")?.data else { return None };
    let Data::List(targets) = &member(groups.first()?, "targets")?.data else { return None };
    let scheme = member(parent, "scheme").and_then(text)?;
    Some(format!("{scheme}://{}", text(targets.first()?)?)).filter(is_usable)
}

impl Maker<'_> {
    fn path(&self, written: &str) -> String {
        let path = Path::new(written);
        match self.base {
            Some(base) if path.is_relative() => base.join(path).to_string_lossy().into_owned(),
            _ => written.to_owned(),
        }
    }

    fn endpoint(&mut self, block: &Node) -> Result<(), String> {
        let node = member(block, "token_url").ok_or_else(|| at(block, "no token_url"))?;
        let url = text(node).filter(|url| config::check_url(url).is_ok());
        let url = url.ok_or_else(|| at(node, "token_url is no URL of a token endpoint"))?;
        let is_here = ["http://localhost", "http://127.", "http://[::1]"].iter().any(|here| url.starts_with(here));
        match url.strip_prefix("http://").filter(|_| !is_here) {
            Some(rest) => {
                self.draft.notes.push(
                    "token_url is http://, which would show the secret to the network: https:// is written".to_owned(),
                );
                self.draft.key("token_endpoint", Value::Text(format!("https://{rest}")));
            }
            None => self.draft.key("token_endpoint", Value::Text(url)),
        }
        Ok(())
    }

    /// Client credentials, or newer the JWT bearer grant with a key.
    fn grant(&mut self, block: &Node) -> Result<(), String> {
        let grant = member(block, "grant_type").and_then(text).unwrap_or_default();
        match grant.as_str() {
            "" | "client_credentials" => {}
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                self.draft.key("grant_type", Value::Text("jwt-bearer".to_owned()));
                self.assertion(block)?;
            }
            _ => return Err(at(block, "a grant_type that neither Prometheus nor bearerd knows")),
        }
        Ok(())
    }

    fn assertion(&mut self, block: &Node) -> Result<(), String> {
        let key = match member(block, "client_certificate_key_file").and_then(text) {
            Some(path) => Value::File(self.path(&path)),
            None => {
                let path = format!("secrets/{}_key.pem", self.draft.name);
                self.draft
                    .needed
                    .push(Needed::File { path: path.clone(), what: "private key (client_certificate_key)".to_owned() });
                Value::File(path)
            }
        };
        let mut assertion = vec![("key".to_owned(), key)];
        for (theirs, ours) in [
            ("signature_algorithm", "algorithm"),
            ("client_certificate_key_id", "key_id"),
            ("iss", "issuer"),
            ("audience", "audience"),
        ] {
            let value = member(block, theirs).and_then(text);
            // Prometheus takes the client for the issuer.
            let value =
                value.or_else(|| if theirs == "iss" { member(block, "client_id").and_then(text) } else { None });
            assertion.extend(value.map(|value| (ours.to_owned(), Value::Text(value))));
        }
        if let Some(Data::Mapping(claims)) = member(block, "claims").map(|node| &node.data) {
            let claim = |(key, value): &(String, Node)| Some((key.clone(), Value::Text(text(value)?)));
            assertion.push(("claims".to_owned(), Value::Table(claims.iter().filter_map(claim).collect())));
        }
        self.draft.key("assertion", Value::Table(assertion));
        Ok(())
    }

    fn member(&mut self, block: &Node, key: &str, node: &Node) -> Result<(), String> {
        let scalar = || text(node).ok_or_else(|| at(node, &format!("{key} is no text")));
        match key {
            "client_id" => {
                let (value, comment, needed) = literal::open(&scalar()?, key);
                self.draft.needed.extend(needed);
                self.draft.keys.push(Key { name: key.to_owned(), value, comment });
            }
            "client_secret" => self.secret(key, &scalar()?, node),
            "client_secret_file" => {
                let path = self.path(&scalar()?);
                self.draft.key("client_secret", Value::File(path));
            }
            "client_secret_ref" => {
                return Err(at(node, "client_secret_ref names a secret of Prometheus: write client_secret_file"));
            }
            "scopes" => self.scopes(node)?,
            "endpoint_params" => self.endpoint_params(node)?,
            "tls_config" => self.tls(node)?,
            "proxy_url" => self.proxy(&scalar()?, node),
            // The default of bearerd.
            "proxy_from_environment" => {}
            "token_url"
            | "grant_type"
            | "client_certificate_key"
            | "client_certificate_key_file"
            | "client_certificate_key_id"
            | "signature_algorithm"
            | "iss"
            | "audience"
            | "claims" => {}
            "no_proxy" => {
                self.note(node, "no_proxy is left out: proxy = \"none\" for this credential, or NO_PROXY, says it")
            }
            "proxy_connect_header" => {
                self.note(node, "proxy_connect_header is left out: user and password of a proxy stand in its URL");
            }
            other => self.note(node, &format!("{other} is left out: no key of a credential says it")),
        }
        let _ = block;
        Ok(())
    }

    fn note(&mut self, node: &Node, what: &str) {
        self.draft.notes.push(format!("line {}: {what}", node.line));
    }

    fn secret(&mut self, key: &str, value: &str, node: &Node) {
        let path = format!("secrets/{}_{key}", self.draft.name);
        let place = At::Text { line: node.line, column: node.column };
        // Prometheus' own way of not showing a secret.
        let value = if value == "<secret>" { "" } else { value };
        let (value, _, needed) = literal::secret(value, &key.replace('_', " "), &path, place);
        let comment = format!("put what stands at {place} of the Prometheus configuration into this file");
        self.draft.needed.push(needed);
        self.draft.commented(key, value, comment);
    }

    fn scopes(&mut self, node: &Node) -> Result<(), String> {
        let Data::List(items) = &node.data else { return Err(at(node, "scopes is no list")) };
        let scopes: Vec<String> = items.iter().filter_map(text).collect();
        if !scopes.is_empty() {
            self.draft.key("scope", Value::Text(scopes.join(" ")));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
