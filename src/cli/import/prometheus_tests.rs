//! Blocks of Prometheus and the credentials that they become.

use proptest::prelude::*;

use super::*;

const FILE: &str = "
global: { scrape_interval: 15s }
scrape_configs:
  - job_name: web front
    scheme: https
    static_configs: [{ targets: ['api.acme.com:8443', b] }]
    oauth2:
      client_id: prom
      client_secret: s3cr3t-Canary
      scopes: [read, write]
      token_url: https://login.acme.com/token
      endpoint_params: { audience: https://api.acme.com, tenant: 7, api_key: key-Canary, resource: r }
      tls_config: { ca_file: ca.pem, cert_file: /etc/c.pem, key_file: k.pem, server_name: login, insecure_skip_verify: false, min_version: TLS12 }
      proxy_url: http://proxy:3128
      no_proxy: localhost
  - job_name: second
    oauth2: { client_id: b, client_secret_file: secret, token_url: 'http://127.0.0.1:1/t', proxy_from_environment: true }
remote_write:
  - url: https://write.acme.com/api/v1/push
    oauth2: { client_id: c, client_secret: <secret>, token_url: 'http://login.acme.com/t', proxy_url: 'http://u:proxy-Canary@p:1' }
alerting:
  alertmanagers:
    - oauth2: { client_id: d, token_url: https://login.acme.com/t, tls_config: { insecure_skip_verify: true } }
";

fn tables(found: &Found) -> toml::Table {
    let text: String = found.drafts.iter().map(|draft| draft.to_toml(true)).collect();
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_block_becomes_a_credential_named_after_its_job() {
    let found = read(FILE, Some(Path::new("/etc/prometheus"))).unwrap();
    let file = tables(&found);
    let wanted = r#"
        [credentials.web-front]
        token_endpoint = "https://login.acme.com/token"
        client_id = "prom"
        client_secret = { file = "secrets/web-front_client_secret" }
        scope = "read write"
        audience = "https://api.acme.com"
        resource = ["r"]
        proxy = "http://proxy:3128"
        params = { tenant = "7", api_key = { file = "secrets/web-front_api_key" } }
        tls = { ca = "/etc/prometheus/ca.pem", certificate = "/etc/c.pem", key = "/etc/prometheus/k.pem", server_name = "login" }
        [credentials.second]
        token_endpoint = "http://127.0.0.1:1/t"
        client_id = "b"
        client_secret = { file = "/etc/prometheus/secret" }
        [credentials.remote_write]
        token_endpoint = "https://login.acme.com/t"
        client_id = "c"
        client_secret = { file = "secrets/remote_write_client_secret" }
        proxy = { file = "secrets/remote_write_proxy" }
    "#;
    assert_eq!(file["credentials"], wanted.parse::<toml::Table>().unwrap()["credentials"]);
    assert_eq!(file["routes"]["web-front"]["upstream"].as_str(), Some("https://api.acme.com:8443"));
    assert_eq!(file["routes"]["remote_write"]["upstream"].as_str(), Some("https://write.acme.com"));
    assert_eq!(found.refused.len(), 1);
    assert!(found.refused[0].starts_with("23:") && found.refused[0].contains("ca = \"ca.pem\""), "{:?}", found.refused);
    let printed: String = found.drafts.iter().map(|draft| draft.to_toml(true)).collect();
    assert!(!printed.contains("Canary"), "{printed}");
    assert!(printed.contains("no_proxy is left out") && printed.contains("https:// is written"), "{printed}");
}

#[test]
fn a_block_alone_is_read_and_a_key_of_a_service_account_too() {
    let block = "client_id: a\ntoken_url: https://login.acme.com/t\ngrant_type: urn:ietf:params:oauth:grant-type:jwt-bearer\n\
        client_certificate_key_file: k.pem\nclient_certificate_key_id: id\nsignature_algorithm: RS256\naudience: aud\nclaims: { scope: s }\n";
    let file = tables(&read(block, None).unwrap());
    let wanted = r#"
        token_endpoint = "https://login.acme.com/t"
        grant_type = "jwt-bearer"
        client_id = "a"
        assertion = { key = { file = "k.pem" }, algorithm = "RS256", key_id = "id", issuer = "a", audience = "aud", claims = { scope = "s" } }
    "#;
    assert_eq!(file["credentials"]["oauth2"].as_table().unwrap(), &wanted.parse::<toml::Table>().unwrap());
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let refused = |text: &str, wanted: &str| {
        let told = match read(text, None) {
            Ok(found) => found.refused.join("\n"),
            Err(error) => error,
        };
        assert!(told.starts_with(wanted), "{text}: {told}");
    };
    refused("a: [1", "2:1: is not YAML");
    refused("a: 1", " no oauth2 block");
    refused("oauth2: 7", "1:9: oauth2 is no mapping");
    refused("oauth2: { client_id: a }", "1:9: no token_url");
    refused("oauth2: { token_url: 'x y' }", "1:22: token_url is no URL");
    refused("oauth2: { token_url: 'https://a/t', scopes: s }", "1:45: scopes is no list");
    refused("oauth2: { token_url: 'https://a/t', tls_config: { ca: x } }", "1:55: tls_config.ca is no file");
    refused(
        "oauth2: { token_url: 'https://a/t', endpoint_params: { client_id: x } }",
        "1:67: client_id in endpoint_params",
    );
    refused("oauth2: { token_url: 'https://a/t', client_secret_ref: x }", "1:56: client_secret_ref");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(oauth2:|token_url:|client_id:|tls_config:|endpoint_params:|https://a/t|[\\[\\]{}:,\\-& *!\n'\"a-z]|\\PC){0,40}") {
        if let Ok(found) = read(&text, None) {
            let _ = tables(&found);
        }
    }
}
