//! What people bring along from other tools, editors and shells, and what is said of it.

use std::path::Path;

use super::tests::{SMALLEST, check, check_credential, check_route, good, load_text_in, with};
use super::*;

#[test]
fn a_path_is_a_prefix_and_no_pattern() {
    let check = |path: &str, prefix: &str| {
        let phrase = format!("patterns are not supported: \"{prefix}\" matches all below it");
        check_route(&format!("path = \"{path}\""), "F005", "routes.api.path", &phrase);
    };
    check("/api/*", "/api");
    check("/*", "/");
    check("/api/{tenant}/x", "/api");
    check("/a/b*/c", "/a");
    good(&with("path = \"/odata/Products(1)/$value\"", ""));
}

#[test]
fn months_are_not_what_a_capital_m_means() {
    check_route("timeouts.response_head = \"5M\"", "F005", "routes.api.timeouts.response_head", "did you mean \"5m\"?");
}

#[test]
fn an_issuer_is_not_the_address_of_its_metadata() {
    let text = SMALLEST.replace(
        "token_endpoint = \"https://login.example.com/oauth/token\"",
        "issuer = \"https://login.example.com/.well-known/openid-configuration\"",
    );
    check(&text, &[("F005", 6, "credentials.api.issuer", "leave that out")]);
}

#[test]
fn a_table_without_a_name_is_one_mistake() {
    let text = SMALLEST.replace("[routes.api]", "[routes]");
    check(&text, &[("F005", 3, "routes.upstream", "write [routes.api] in place of [routes]")]);
    let text = SMALLEST.replace("[credentials.api]", "[credentials]");
    let nameless = ("F005", 6, "credentials.token_endpoint", "write [credentials.api] in place of [credentials]");
    check(&text, &[("F006", 2, "routes.api.credential", "needs a credential"), nameless]);
}

#[test]
fn every_file_that_is_missing_is_told() {
    let tls = "tls = { ca = \"no/ca.pem\", certificate = \"no/cert.pem\", key = \"no/key.pem\" }";
    check(
        &with("", tls),
        &[
            ("F011", 10, "credentials.api.tls.ca", "no/ca.pem"),
            ("F011", 10, "credentials.api.tls.certificate", "no/cert.pem"),
            ("F011", 10, "credentials.api.tls.key", "no/key.pem"),
        ],
    );
}

#[test]
fn what_is_no_utf_8_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("b.toml");
    let check = |bytes: &[u8], wanted: &str| {
        std::fs::write(&path, bytes).unwrap();
        let said = load(&Sources { file: Some(path.clone()), ..Sources::default() }).unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}");
    };
    check(b"# one\n# caf\xe9\n", "line 2, column 6");
    check(b"\xff\xfe#\0", "UTF-16");
}

#[test]
fn a_pattern_does_not_include_its_own_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("b.toml");
    std::fs::write(&path, format!("include = \"*.toml\"{SMALLEST}")).unwrap();
    std::fs::write(
        directory.path().join("c.toml"),
        "[routes.more]\npath = \"/more\"\nupstream = \"https://more.example\"\n",
    )
    .unwrap();
    let settings = load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(settings.routes.len(), 2);
    check(&format!("include = \"\"{SMALLEST}"), &[("F005", 1, "include", "must not be empty")]);
}

#[test]
fn a_key_of_another_tool_leads_to_the_table_beside_it() {
    check_credential(
        "cert_file = \"c.pem\"",
        "F003",
        "credentials.api.cert_file",
        "certificate in [credentials.NAME.tls]",
    );
    check_route("key_file = \"c.pem\"", "F003", "routes.api.key_file", "[routes.NAME.tls]");
    check_credential("expiry_buffer = \"1m\"", "F003", "credentials.api.expiry_buffer", "[credentials.NAME.refresh]");
    check_route("proxy_set_header = \"x\"", "F003", "routes.api.proxy_set_header", "did you mean \"headers\"?");
    check_route("proxy_read_timeout = \"1m\"", "F003", "routes.api.proxy_read_timeout", "response_head");
    check(&format!("callers.cidr = \"any\"{SMALLEST}"), &[("F003", 1, "callers.cidr", "did you mean \"from\"?")]);
}

#[test]
fn a_command_that_fails_may_bring_its_secret_after_the_start() {
    let load = |lines: &str, starts: bool| {
        let path = Path::new("b.toml");
        let environment = Environment::new([("PATH".into(), "/usr/bin:/bin".into())]);
        load_text(lines, path, &Sources { file: Some(path.to_owned()), environment, starts, ..Sources::default() })
    };
    let command = |words: &str| SMALLEST.replace("\"s3cr3t-value\"", &format!("{{ command = [{words}] }}"));
    let sealed = command("\"sh\", \"-c\", \"echo sealed >&2; exit 2\"");
    let warnings = load(&sealed, true).unwrap().warnings.join("\n");
    assert!(warnings.contains("sealed") && warnings.contains("run again for the first token"), "{warnings}");
    assert!(load(&sealed, false).unwrap_err().to_string().contains("F010"));
    let missing = load(&command("\"no-such-program\""), true).unwrap_err().to_string();
    assert!(missing.contains("F010 credentials.api.client_secret"), "{missing}");
    let key = format!("callers.key = {{ command = [\"false\"] }}{SMALLEST}");
    assert!(load(&key, true).unwrap_err().to_string().contains("F010 callers.key"));
}

#[test]
fn a_secret_that_looks_like_its_place_is_a_warning() {
    let secret = |value: &str| good(&SMALLEST.replace("s3cr3t-value", value)).warnings.join("\n");
    for place in ["/run/secrets/x", "file:secret", "@/etc/secret", "/etc/hostname"] {
        assert!(secret(place).contains("did you mean { file = \"…\" }?"), "{place}");
    }
    assert_eq!(secret("/x+/fiv1q2w3e4r=="), "");
    assert!(secret("${SECRET}").contains("did you mean { env = \"SECRET\" }?"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_secret_and_white_space_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let text = SMALLEST.replace("\"s3cr3t-value\"", &format!("{{ file = {path:?} }}"));
    std::fs::write(&path, "\u{feff}s3cret\r\n").unwrap();
    assert_eq!(good(&text).warnings.join("\n"), "");
    std::fs::write(&path, " s3cret").unwrap();
    let warnings = good(&text).warnings.join("\n");
    assert!(warnings.contains("begins with white space"), "{warnings}");
}

#[test]
fn what_exec_tells_its_command_is_no_setting() {
    load_text_in(SMALLEST, &[("BEARERD_URL", "http://127.0.0.1:1"), ("BEARERD_URL_API", "http://127.0.0.1:1")])
        .unwrap();
    let near = |name: &str| load_text_in(SMALLEST, &[(name, "x")]).unwrap_err().to_string();
    assert!(near("BEARERD_TOKEN_URL").contains("did you mean BEARERD_TOKEN_ENDPOINT?"));
    assert!(near("BEARERD_URLS").contains("unknown variable"));
    assert!(!near("BEARERD_FOO").contains("did you mean"));
}
