//! The members of a block that are mappings of their own, and its proxy.

use super::super::draft::{Key, Value};
use super::super::shell::At;
use super::super::{harmless, literal};
use super::yaml::{Data, Node};
use super::{Maker, at, text};

impl Maker<'_> {
    pub(super) fn endpoint_params(&mut self, node: &Node) -> Result<(), String> {
        let Data::Mapping(members) = &node.data else { return Err(at(node, "endpoint_params is no mapping")) };
        for (key, value) in members {
            let name = key.clone();
            let Some(written) = text(value) else { return Err(at(value, &format!("{name} is no text"))) };
            match name.as_str() {
                "audience" | "scope" => self.draft.key(&name, Value::Text(written)),
                "resource" => self.draft.key(&name, Value::List(vec![written])),
                "username" => self.draft.key(&name, Value::Text(written)),
                "password" => self.secret("password", &written, value),
                "grant_type" if self.draft.keys.iter().all(|key| key.name != "grant_type") => {
                    self.draft.key(&name, Value::Text(written))
                }
                "client_id" | "client_secret" | "grant_type" => {
                    return Err(at(value, &format!("{name} in endpoint_params, where the block says it already")));
                }
                _ => {
                    let value = self.param(&name, &written, value);
                    self.params.push((name, value));
                }
            }
        }
        Ok(())
    }

    fn param(&mut self, name: &str, written: &str, node: &Node) -> Value {
        if harmless::is_harmless(name, written) {
            return Value::Text(written.to_owned());
        }
        let path = format!("secrets/{}_{}", self.draft.name, name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let place = At::Text { line: node.line, column: node.column };
        let (value, _, needed) = literal::secret(written, name, &path, place);
        self.comments.push(format!("put the {name} at {place} of the Prometheus configuration into {path}"));
        self.draft.needed.push(needed);
        value
    }

    pub(super) fn tls(&mut self, node: &Node) -> Result<(), String> {
        let Data::Mapping(members) = &node.data else { return Err(at(node, "tls_config is no mapping")) };
        let mut tls = Vec::new();
        for (key, value) in members {
            let written = text(value).unwrap_or_default();
            let ours = match key.as_str() {
                "ca_file" => "ca",
                "cert_file" => "certificate",
                "key_file" => "key",
                "server_name" => "server_name",
                "insecure_skip_verify" if written == "true" => {
                    let cure = "insecure_skip_verify: bearerd never leaves a certificate unchecked. Trust the server's authority \
                                instead: ca = \"ca.pem\" in [credentials.NAME.tls]";
                    return Err(at(value, cure));
                }
                "insecure_skip_verify" => continue,
                // What bearerd has anyway.
                "min_version" if matches!(written.as_str(), "TLS10" | "TLS11" | "TLS12") => continue,
                "min_version" | "max_version" => {
                    self.note(value, "min_version and max_version are left out: bearerd speaks TLS 1.2 and 1.3");
                    continue;
                }
                other @ ("ca" | "cert" | "key" | "ca_ref" | "cert_ref" | "key_ref") => {
                    return Err(at(
                        value,
                        &format!(
                            "tls_config.{other} is no file: put it into one and write {}_file",
                            other.trim_end_matches("_ref")
                        ),
                    ));
                }
                other => {
                    self.note(value, &format!("tls_config.{other} is left out: no key of a credential says it"));
                    continue;
                }
            };
            let written = if ours == "server_name" { written } else { self.path(&written) };
            tls.push(Key { name: ours.to_owned(), value: Value::Text(written), comment: None });
        }
        self.draft.tables.push(("tls", tls));
        Ok(())
    }

    pub(super) fn proxy(&mut self, url: &str, node: &Node) {
        if url.is_empty() {
            return;
        }
        if url.contains('@') {
            self.secret("proxy", url, node);
        } else {
            self.draft.key("proxy", Value::Text(url.to_owned()));
        }
    }
}
