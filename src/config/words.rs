//! The words of other tools, and the nearest word of ours.
//!
//! Owns the texts of "did you mean". A wrong guess is harmless: it only stands in a message.

use super::reader::Keys;
use super::tables;

/// What an unknown key most likely meant. The words are compared after [`normal`].
enum Meaning {
    /// One of these keys, the first that the table has; else the first table that has it is named.
    Key(&'static [&'static str]),
    /// This sentence.
    Says(&'static str),
}

use Meaning::{Key, Says};

const NO_SWITCH: &str = "there is no switch that turns verification off; name the authority with tls.ca instead";

#[rustfmt::skip]
const SYNONYMS: &[(&[&str], Meaning)] = &[
    (&["token_url", "token_uri", "auth_url", "login_url", "oauth_url", "oauth_token_url", "oauth2_token_url",
       "access_token_url", "token_endpoint_url", "auth_endpoint", "token_server", "token_address"], Key(&["token_endpoint"])),
    (&["url", "endpoint", "uri", "server", "base_url", "address"], Key(&["upstream", "token_endpoint", "listen", "url"])),
    (&["backend", "target", "destination", "proxy_pass", "forward_to", "upstream_url", "origin", "to", "service",
       "remote", "dest", "forward"], Key(&["upstream", "kind", "url"])),
    (&["port", "bind", "addr", "listen_address", "listen_addr", "http_port", "listen_on", "listen_port", "listener",
       "listeners", "bind_address", "http_address"], Key(&["listen", "url"])),
    (&["client", "app_id", "application_id", "consumer_key", "clientid"], Key(&["client_id"])),
    (&["kid", "key_id"], Key(&["key_id", "client_id"])),
    (&["private_key_file", "signing_key", "signing_key_file"], Key(&["client_assertion", "assertion", "key"])),
    (&["basic_auth", "basic"], Key(&["client_authentication"])),
    (&["authorization_grant_type"], Key(&["grant_type"])),
    (&["tenant_id"], Says("the tenant is a part of the URL in issuer or token_endpoint")),
    (&["client_secret_file", "secret_file"], Says("did you mean client_secret = { file = \"…\" }?")),
    (&["client_secret_env", "secret_env"], Says("did you mean client_secret = { env = \"NAME\" }?")),
    (&["password_file"], Says("did you mean password = { file = \"…\" }?")),
    (&["password_env"], Says("did you mean password = { env = \"NAME\" }?")),
    (&["secret", "app_secret", "consumer_secret", "api_secret", "client_password", "clientsecret"], Key(&["client_secret"])),
    (&["user", "login", "user_name", "email", "account"], Key(&["username"])),
    (&["pass", "passwd", "pwd"], Key(&["password"])),
    (&["scopes"], Key(&["scope"])),
    (&["aud", "audiences"], Key(&["audience"])),
    (&["resources", "resource_indicator"], Key(&["resource"])),
    (&["grant", "granttype", "flow"], Key(&["grant_type"])),
    (&["auth_method", "auth_style", "token_endpoint_auth_method", "client_auth", "client_auth_method",
       "client_authentication_method", "auth_type", "authentication"], Key(&["client_authentication"])),
    (&["idp", "issuer_url", "authority", "discovery", "discovery_url", "well_known", "oidc_issuer", "provider",
       "provider_url", "tenant", "realm"], Key(&["issuer"])),
    (&["skip_verify", "insecure", "insecure_skip_verify", "tls_skip_verify", "verify", "verify_ssl", "ssl_verify",
       "verify_tls", "ssl_insecure_skip_verify", "tls_verify", "no_verify", "accept_invalid_certs"], Says(NO_SWITCH)),
    (&["allow_http", "allow_plaintext", "allow_plain", "plain_http", "allow_insecure_http"], Key(&["allow_plain_http"])),
    (&["content_type", "body_format", "body_type", "format"], Key(&["encoding"])),
    (&["extra_params", "parameters", "endpoint_params", "extra", "form", "fields", "body", "data", "extra_fields",
       "token_params"], Key(&["params", "body_contains"])),
    (&["add_headers", "set_headers", "proxy_set_header", "header_up"], Key(&["headers", "set"])),
    (&["http_proxy", "https_proxy", "proxy_url"], Key(&["proxy"])),
    (&["tls_config", "ssl", "tls_settings", "https"], Key(&["tls"])),
    (&["http2", "protocol", "http_version"], Key(&["upstream_protocol"])),
    (&["websocket", "websockets", "allow_upgrade"], Key(&["upgrades"])),
    (&["http_method", "verb", "request_method"], Key(&["method"])),
    (&["request_headers", "extra_headers", "token_headers"], Key(&["headers"])),
    (&["timeout", "request_timeout", "read_timeout", "response_timeout", "proxy_read_timeout", "read"],
       Says("times are in [timeouts]: response_head for the upstream's answer, token_request for the token endpoint")),
    (&["connect_timeout", "dial_timeout"], Says("write it as connect in [timeouts]")),
    (&["send_timeout", "write_timeout", "write"], Says("write it as response_unread in [timeouts]")),
    (&["idle_timeout", "keepalive", "keep_alive_timeout", "idle"], Says("write it as keep_alive or upstream_idle in [timeouts]")),
    (&["shutdown_timeout", "grace_period", "graceful_timeout", "drain_timeout"], Says("write it as drain in [timeouts]")),
    (&["refresh_before", "early_refresh", "renew_before", "refresh_margin", "expiry_delta", "leeway", "skew",
       "margin", "before", "refresh_interval", "expiration_leeway", "expiry_buffer", "expiry_margin", "early_expiry"], Says("write it as early in [credentials.NAME.refresh]")),
    (&["expires", "ttl", "token_ttl", "lifetime", "default_ttl", "token_lifetime", "default_expires_in",
       "max_age"], Key(&["default_lifetime"])),
    (&["token_path", "access_token_path", "token_field", "token_pointer", "token_key", "access_token_field",
       "token_json_path"], Key(&["access_token"])),
    (&["expires_in_path", "expiry_path", "expiry_field", "expires_in_field"], Key(&["expires_in"])),
    (&["header_name", "inject_header", "auth_header"], Key(&["header"])),
    (&["cookie_name", "session_cookie", "inject_cookie"], Key(&["cookie", "access_token_cookie"])),
    (&["query_parameter", "query_param", "query_name", "parameter"], Key(&["query"])),
    (&["step", "login_steps", "pre_requests", "requests"], Key(&["steps"])),
    (&["logout", "revoke", "logout_url", "revoke_url", "revocation_url", "revocation_endpoint", "logout_endpoint"],
       Says("write it as endpoint in [credentials.NAME.revocation]")),
    (&["refresh_url", "refresh_endpoint", "refresh_token_url"], Says("write it as endpoint in [credentials.NAME.refresh]")),
    (&["prefix", "token_type", "header_prefix", "token_prefix", "auth_scheme"], Key(&["scheme", "path"])),
    (&["retry_on", "reject_status", "status_codes", "statuses", "unauthorized_status", "code", "codes"], Key(&["status"])),
    (&["contains", "body_match", "text"], Key(&["body_contains", "contains"])),
    (&["metrics", "health", "health_check", "healthcheck", "metrics_address", "admin_listen", "admin_address", "management"],
       Says("health and metrics are served on admin.listen: [admin] listen = \"localhost:9180\"")),
    (&["ca_file", "ca_cert", "cacert", "ca_bundle", "root_ca", "trusted_ca", "ca_path", "cafile", "root_cert",
       "ca_certificate", "roots"], Says("write it as ca in [credentials.NAME.tls] or [routes.NAME.tls]")),
    (&["cert", "client_cert", "cert_file", "client_certificate", "certificate_file", "certificates", "crt", "ssl_certificate",
       "server_cert", "certfile"], Key(&["certificate"])),
    (&["key_file", "client_key", "private_key", "ssl_certificate_key", "server_key", "keyfile"], Key(&["key"])),
    (&["client_ca_file", "client_cas", "client_ca_cert", "ssl_client_certificate", "client_auth_ca"], Key(&["client_ca"])),
    (&["min_version", "tls_min_version", "tls_version", "ssl_protocols", "protocols", "ciphers", "cipher_suites"],
       Says("there is nothing to choose: TLS 1.2 and 1.3 with the safe ciphers of rustls")),
    (&["client_sans", "allowed_sans", "sans", "allowed_client_names", "allowed_names", "subject_alt_names"],
       Key(&["client_names"])),
    (&["sni", "servername", "tls_server_name", "tls_servername"], Key(&["server_name"])),
    (&["location", "path_prefix", "match", "uri_prefix"], Key(&["path"])),
    (&["strip_prefix", "rewrite", "strip", "strip_path_prefix"], Key(&["strip_path"])),
    (&["preserve_host", "pass_host_header", "change_origin", "preserve_host_header", "host_header"], Key(&["keep_host"])),
    (&["hostname", "server_names", "domain", "vhost"], Key(&["host", "hosts", "url"])),
    (&["max_connections", "maxconn"], Says("write it as connections in [limits]")),
    (&["max_header_bytes", "max_header_size"], Says("write it as head in [limits]")),
    (&["otel", "tracing", "opentelemetry", "otlp"], Key(&["traces"])),
    (&["shared_key", "api_key"], Key(&["key"])),
    (&["rule", "rules"], Key(&["host", "routes"])),
    (&["host", "redis_url", "redis", "redis_host", "valkey", "valkey_url", "servers", "nodes", "urls", "connection_string"],
       Key(&["url", "store"])),
    (&["encryption_key", "master_key", "sealing_key", "encrypt_key"], Key(&["seal_key"])),
    (&["old_key", "previous_key", "previous_seal_key", "old_encryption_key"], Key(&["old_seal_key"])),
    (&["path", "dir", "folder"], Key(&["directory"])),
    (&["master", "master_name", "sentinel_master", "sentinels"], Key(&["sentinel"])),
    (&["db", "database", "db_index"], Says("the number of the database is the end of the url: redis://HOST:6379/0")),
    (&["type", "driver", "engine", "provider_name", "store_type"], Key(&["kind"])),
    (&["cache", "token_store", "storage", "token_cache", "shared"], Key(&["store"])),
    (&["allow_plaintext_tcp", "allow_insecure", "allow_unencrypted"], Key(&["allow_plain_tcp", "allow_plain_http"])),
    (&["quota", "max_requests", "request_limit"], Key(&["budget", "requests"])),
    (&["auth", "token", "credentials", "credential_name"], Key(&["credential"])),
    (&["route", "upstreams", "proxies"], Key(&["routes"])),
    (&["credential", "auths", "tokens", "oauth", "oauth2", "clients"], Key(&["credentials"])),
    (&["log_level", "loglevel", "verbosity", "debug", "logging"], Says("write it as level in [log]")),
    (&["log_format"], Says("write it as format in [log]")),
    (&["access_log", "request_log"], Key(&["access"])),
    (&["threads", "worker_threads", "concurrency", "worker_processes"], Key(&["workers"])),
    (&["state_dir", "data_dir", "cache_dir", "state"], Key(&["state_directory"])),
    (&["allow", "allowed_ips", "allow_from", "whitelist", "allowlist", "allowed_cidrs", "cidrs", "cidr",
       "ip", "ips", "networks", "ranges"], Key(&["from"])),
    (&["allowed_hosts", "allow_hosts"], Key(&["hosts"])),
    (&["max_body", "max_body_size", "body_limit", "buffer", "buffer_limit"], Key(&["replay_body_limit"])),
    (&["max_wait", "wait_timeout"], Key(&["wait"])),
];

/// What is wrong with a key that its table does not have.
pub(super) fn unknown_key(key: &str, keys: &Keys) -> String {
    match suggestion(key, keys) {
        Some(suggestion) => format!("unknown key; {suggestion}"),
        None if keys.obeyed.is_empty() => "unknown key".to_owned(),
        None => format!("unknown key; {} takes {}", keys.name, keys.obeyed.join(", ")),
    }
}

/// Which of these keys was most likely meant: the same in another spelling, what other tools call so, the nearest.
pub(super) fn meant<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let normal = normal(key);
    let find = |wanted: &str| known.iter().copied().find(|known| *known == wanted);
    find(&normal).or_else(|| match meaning(&normal) {
        Some(Key(meant)) => meant.iter().find_map(|key| find(key)).or_else(|| nearest(&normal, known)),
        Some(Says(_)) => None,
        None => nearest(&normal, known),
    })
}

fn meaning(normal: &str) -> Option<&'static Meaning> {
    SYNONYMS.iter().find(|(words, _)| words.contains(&normal)).map(|(_, meaning)| meaning)
}

fn suggestion(key: &str, keys: &Keys) -> Option<String> {
    if let Some(meant) = meant(key, keys.obeyed) {
        return Some(did_you(meant));
    }
    let normal = normal(key);
    if let Some(Says(sentence)) = meaning(&normal) {
        return Some((*sentence).to_owned());
    }
    if let Some(table) = home_of(&normal, keys) {
        return Some(format!("{normal} belongs in {}", table.name));
    }
    let Some(Key(meant)) = meaning(&normal) else { return None };
    meant.iter().find_map(|key| Some(format!("did you mean {key} in {}?", home_of(key, keys)?.name)))
}

fn did_you(key: &str) -> String {
    format!("did you mean \"{key}\"?")
}

/// The table that has this key, if it is another one: that for TLS, where a certificate is spoken of, else the first below this one.
fn home_of(key: &str, besides: &Keys) -> Option<&'static Keys> {
    let has = |table: &&Keys| table.name != besides.name && table.obeyed.contains(&key);
    let is_below = |table: &&&Keys| {
        let family = besides.name.trim_end_matches(']');
        family.starts_with('[') && table.name.contains(family)
    };
    let found: Vec<_> = tables::ALL.iter().map(|(_, table)| *table).filter(has).collect();
    let of_tls = found.iter().filter(is_below).find(|table| table.name.contains(".tls]"));
    of_tls.or_else(|| found.iter().find(is_below)).or(found.first()).copied()
}

/// `clientId`, `client-id` and `CLIENT_ID` are all `client_id`.
fn normal(key: &str) -> String {
    let mut normal = String::with_capacity(key.len() + 4);
    let mut was_lower = false;
    for c in key.chars() {
        if c.is_ascii_uppercase() && was_lower {
            normal.push('_');
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        normal.push(if c == '-' || c == '.' || c == ' ' { '_' } else { c.to_ascii_lowercase() });
    }
    normal
}

/// The word of `known` that is so near to `word` that it must have been meant.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // `warning` is `warn`, however far they are from each other.
    let contains =
        |known: &&&'k str| known.len() > 3 && word.len() > 3 && (word.starts_with(**known) || known.starts_with(word));
    if let Some(same) = known.iter().find(contains) {
        return Some(same);
    }
    // Distances cost the product of the lengths, and nothing as long as this is a slip of the finger.
    if word.len() > 64 {
        return None;
    }
    let rated = known.iter().map(|known| (strsim::damerau_levenshtein(word, known), *known));
    let (distance, nearest) = rated.min_by_key(|(distance, _)| *distance)?;
    (distance <= nearest.len().min(word.len()).div_ceil(3)).then_some(nearest)
}

/// `; did you mean "x"?`, or nothing.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    nearest(&normal(word), known).map_or_else(String::new, |near| format!("; {}", did_you(near)))
}

/// `"a", "b" or "c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => format!("{only:?}"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|word| format!("{word:?}")).collect();
            format!("{} or {last:?}", first.join(", "))
        }
    }
}

/// Whether one of the words of a field's name says that a password is in it: `j_password`, `userPwd`, `PIN`, and not `compass`.
pub(super) fn means_password(name: &str) -> bool {
    const WORDS: &[&str] = &["password", "passwd", "pass", "pwd", "passphrase", "pin"];
    let mut words = String::new();
    let mut after_lower = false;
    for c in name.chars() {
        // A hump begins a word.
        if !c.is_alphanumeric() || after_lower && c.is_uppercase() {
            words.push(' ');
        }
        words.push(if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' });
        after_lower = c.is_lowercase();
    }
    words.split_whitespace().any(|word| WORDS.contains(&word))
}
