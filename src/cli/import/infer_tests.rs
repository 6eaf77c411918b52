//! Lines of curl and the configuration that they become, which must pass `check` once its secrets are there.

use std::path::Path;

use proptest::prelude::*;

use super::super::shell;
use super::*;
use crate::config;

#[path = "infer_tests/lines.rs"]
mod lines;
#[path = "infer_tests/secrets.rs"]
mod secrets;

fn imported(text: &str) -> Result<Draft, Refusal> {
    draft(&super::super::curl::read(shell::split(text)?)?, &Wishes::default())
}

/// What is said on standard error.
fn to_do(draft: Draft) -> String {
    super::super::to_do(&[draft], false)
}

/// The table of the credential, and that the configuration is right once the secrets are there.
fn credential(text: &str) -> toml::Table {
    let draft = imported(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let written = draft.to_toml(true);
    let file: toml::Table = written.parse().unwrap_or_else(|error| panic!("{written}: {error}"));
    check(&written);
    file["credentials"][&draft.name].as_table().unwrap().clone()
}

/// `bearerd check`, with every reference to a secret replaced by one.
fn check(written: &str) {
    let mut file: toml::Table = written.parse().unwrap();
    for credential in file["credentials"].as_table_mut().unwrap().iter_mut().map(|(_, value)| value) {
        credential.as_table_mut().unwrap().remove("tls");
        place(credential);
    }
    let text = toml::to_string(&file).unwrap();
    if let Err(mistakes) = config::load_str(&text, Path::new("b.toml")) {
        panic!("{written}\n{text}\n{mistakes}");
    }
}

fn place(value: &mut toml::Value) {
    let Some(table) = value.as_table_mut() else { return };
    for member in table.iter_mut().map(|(_, member)| member) {
        let is_reference =
            member.as_table().is_some_and(|t| t.len() == 1 && (t.contains_key("file") || t.contains_key("env")));
        match is_reference {
            true => *member = "http://placed:secret@there:1".into(),
            false => place(member),
        }
    }
}

/// The keys of the credential, and their values as TOML.
fn shows(text: &str, wanted: &[(&str, &str)]) {
    let table = credential(text);
    let wanted: Vec<(String, toml::Value)> = wanted
        .iter()
        .map(|(key, value)| ((*key).to_owned(), format!("x = {value}").parse::<toml::Table>().unwrap()["x"].clone()))
        .collect();
    let mut found: Vec<(String, toml::Value)> = table.into_iter().collect();
    let order = |pairs: &mut Vec<(String, toml::Value)>| pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let mut wanted = wanted;
    order(&mut found);
    order(&mut wanted);
    assert_eq!(found, wanted, "{text}");
}

const ENDPOINT: (&str, &str) = ("token_endpoint", "\"https://login.acme.com/token\"");
const GRANT: (&str, &str) = ("grant_type", "\"client_credentials\"");
const POST: (&str, &str) = ("client_authentication", "\"client_secret_post\"");

#[test]
fn a_client_in_the_body() {
    let text = "curl https://login.acme.com/token -d grant_type=client_credentials -d client_id=a1 \
        -d client_secret=s3cr3t -d audience=https://api.acme.com/ -d 'scope=a b' -d resource=r1 -d resource=r2 -d tenant=7";
    shows(
        text,
        &[
            ENDPOINT,
            GRANT,
            ("client_id", "\"a1\""),
            ("client_secret", "{ file = \"secrets/acme_client_secret\" }"),
            POST,
            ("audience", "\"https://api.acme.com/\""),
            ("scope", "\"a b\""),
            ("resource", "[\"r1\", \"r2\"]"),
            ("params", "{ tenant = \"7\" }"),
        ],
    );
}

#[test]
fn a_client_in_basic_however_it_is_written() {
    let wanted = |id: &'static str, secret: &'static str| {
        [
            ENDPOINT,
            GRANT,
            ("client_id", id),
            ("client_secret", secret),
            ("client_authentication", "\"client_secret_basic\""),
            ("basic_encoding", "\"raw\""),
        ]
    };
    let line = |option: &str| format!("curl {option} -d grant_type=client_credentials https://login.acme.com/token");
    let file = "{ file = \"secrets/acme_client_secret\" }";
    shows(&line("-u svc:pw"), &wanted("\"svc\"", file));
    shows(&line("-u \"$ID:$SECRET\""), &wanted("{ env = \"ID\" }", "{ env = \"SECRET\" }"));
    shows(&line("-H 'Authorization: Basic c3ZjOnB3'"), &wanted("\"svc\"", file));
    shows(
        &line("-H \"authorization: basic $(echo -n $ID:$SECRET | base64)\""),
        &wanted("{ env = \"ID\" }", "{ env = \"SECRET\" }"),
    );
    shows(&line("-H 'Authorization: Basic <base64 of id and secret>'"), &wanted("\"YOUR_CLIENT_ID\"", file));
    let split = "curl -d grant_type=client_credentials https://svc:pw@login.acme.com/token";
    shows(split, &wanted("\"svc\"", file));
    shows(&line("-u svc:"), &wanted("\"svc\"", "\"\""));
}

#[test]
fn a_user_and_a_password() {
    shows(
        "curl https://login.acme.com/token --json '{\"grant_type\":\"password\",\"username\":\"me\",\"password\":\"pw\",\"n\":7}'",
        &[
            ENDPOINT,
            ("grant_type", "\"password\""),
            ("username", "\"me\""),
            ("password", "{ file = \"secrets/acme_password\" }"),
            ("params", "{ n = 7 }"),
            ("encoding", "\"json\""),
        ],
    );
}

#[test]
fn fields_in_the_query_another_method_and_an_unknown_grant() {
    shows(
        "curl -X POST -u a:b 'https://login.acme.com/token?grant_type=account_credentials&account_id=9' -H 'Host: login.acme.com'",
        &[
            ENDPOINT,
            ("grant_type", "\"none\""),
            ("client_id", "\"a\""),
            ("client_secret", "{ file = \"secrets/acme_client_secret\" }"),
            ("client_authentication", "\"client_secret_basic\""),
            ("basic_encoding", "\"raw\""),
            ("params", "{ account_id = \"9\", grant_type = \"account_credentials\" }"),
            ("encoding", "\"query\""),
        ],
    );
    shows(
        "curl -G https://login.acme.com/token -d api_key=$KEY",
        &[
            ENDPOINT,
            ("grant_type", "\"none\""),
            ("params", "{ api_key = { env = \"KEY\" } }"),
            ("method", "\"GET\""),
            ("encoding", "\"query\""),
        ],
    );
    shows(
        "curl -X PUT 'https://login.acme.com/token?version=2' -d 'grant_type=client_credentials&client_id=a'",
        &[
            ("token_endpoint", "\"https://login.acme.com/token?version=2\""),
            GRANT,
            ("client_id", "\"a\""),
            ("method", "\"PUT\""),
        ],
    );
}

#[test]
fn headers_tls_proxy_and_the_way_to_the_token() {
    shows(
        "curl https://login.acme.com/token -d grant_type=client_credentials -d client_id=a -H 'X-Api-Key: abc' -H 'x-tenant: 7' \
         -A agent/1 -b 'a=b' --cacert ca.pem --cert c.pem --key k.pem -x proxy:3128 -H 'Accept: application/json' -H 'Expect:' \
         | jq -r '.data.token'",
        &[
            ENDPOINT,
            GRANT,
            ("client_id", "\"a\""),
            (
                "headers",
                "{ x-api-key = { file = \"secrets/acme_x_api_key\" }, x-tenant = \"7\", user-agent = \"agent/1\", \
                 cookie = { file = \"secrets/acme_cookie\" } }",
            ),
            ("proxy", "\"http://proxy:3128\""),
            ("tls", "{ ca = \"ca.pem\", certificate = \"c.pem\", key = \"k.pem\" }"),
            ("response", "{ access_token = \"/data/token\" }"),
        ],
    );
    shows(
        "curl https://login.acme.com/token -X POST -H 'Authorization: Bearer 123' -x http://u:p@proxy:1",
        &[
            ENDPOINT,
            ("grant_type", "\"none\""),
            ("headers", "{ authorization = { file = \"secrets/acme_authorization\" } }"),
            ("proxy", "{ file = \"secrets/acme_proxy\" }"),
        ],
    );
}

#[test]
fn a_get_stays_a_get_and_only_a_url_alone_becomes_a_post() {
    let url = "https://login.acme.com/token";
    let get = [("method", "\"GET\""), ("encoding", "\"query\""), ("grant_type", "\"none\""), ENDPOINT];
    let with = |more: &[(&'static str, &'static str)]| [&get, more].concat();
    let key = ("headers", "{ x-api-key = { file = \"secrets/acme_x_api_key\" } }");
    shows(&format!("curl {url} -H 'X-Api-Key: abc'"), &with(&[key]));
    shows(&format!("curl {url} -b sid=1"), &with(&[("headers", "{ cookie = { file = \"secrets/acme_cookie\" } }")]));
    shows(&format!("curl {url} -b cookies.txt"), &get);
    let user = [
        ("client_id", "\"a\""),
        ("client_secret", "{ file = \"secrets/acme_client_secret\" }"),
        ("client_authentication", "\"client_secret_basic\""),
        ("basic_encoding", "\"raw\""),
    ];
    shows(&format!("curl {url} -u a:b"), &with(&user));
    shows("curl https://a:b@login.acme.com/token", &with(&user));
    let bare = format!("curl {url}");
    shows(&bare, &[ENDPOINT, ("grant_type", "\"none\"")]);
    let written = imported(&bare).unwrap().to_toml(true);
    assert!(written.contains("# NOTE: the curl line is a URL alone, which curl would GET"), "{written}");
}

#[test]
fn secrets_under_any_name_and_under_none_are_not_written() {
    let url = "https://login.acme.com/token";
    let written = |options: &str| {
        let draft = imported(&format!("curl {url} {options}")).unwrap_or_else(|error| panic!("{options}: {error}"));
        let text = format!("{}{}", draft.to_toml(true), to_do(draft));
        check(text.split("next:").next().unwrap().split("note:").next().unwrap());
        text
    };
    let uuid = "84896a0c-1347-aa90-a4f6-aca8b7558780";
    for option in [
        format!("--json '{{\"role_id\":\"r\",\"secret_id\":\"{uuid}\"}}'"),
        "-d pass=hunter22".to_owned(),
        "-d auth=hunter22".to_owned(),
        "-d sid=hunter22".to_owned(),
        "-d session=hunter22".to_owned(),
        "-d sig=hunter22".to_owned(),
        "-d a=b -d code=hunter22".to_owned(),
        "-d jwt=hunter22".to_owned(),
        "-H 'X-Auth: hunter22'".to_owned(),
        "--json '{\"pin\":77122}'".to_owned(),
    ] {
        let text = written(&option);
        assert!([uuid, "hunter22", "77122"].iter().all(|secret| !text.contains(secret)), "{text}");
        assert!(text.contains("{ file = \"secrets/acme_"), "{text}");
    }
    assert!(written(&format!("-d tenant={uuid}")).contains(uuid));
    for option in [
        "-d hunter22rawsecret",
        "-G -d hunter22rawsecret",
        "-d 'a=b&hunter22rawsecret'",
        "-d 8A4BE698BCA216718ECBhunter22=x",
    ] {
        let error = imported(&format!("curl {url} {option}")).unwrap_err().to_string();
        assert!(!error.contains("hunter22") && error.contains("NAME=VALUE"), "{error}");
    }
    for query in ["hunter22", "k=8A4BE698BCA216718ECB7"] {
        let error = imported(&format!("curl '{url}?{query}' -d a=b")).unwrap_err().to_string();
        assert!(!error.contains(query), "{error}");
    }
}

#[test]
fn a_body_that_only_a_shell_knows_is_refused() {
    for body in
        ["-d \"$(cat secret)\"", "-d \"$BODY\"", "-d \"$NAME=x\"", "-d \"a=b&$(cat a=b)\"", "--json '{\"'$N'\":\"b\"}'"]
    {
        let error = imported(&format!("curl https://login.acme.com/token {body}")).unwrap_err().to_string();
        assert!(error.contains("a body that is one variable or file: write its fields"), "{body}: {error}");
        assert!(!marks::has_marks(&error), "{error:?}");
    }
}

#[test]
fn empty_values_of_generated_documentation() {
    shows(
        "curl -X 'POST' https://login.acme.com/token -d 'grant_type=password&username=string&password=string&scope=&client_id=&client_secret='",
        &[
            ENDPOINT,
            ("grant_type", "\"password\""),
            ("username", "\"string\""),
            ("password", "{ file = \"secrets/acme_password\" }"),
            ("scope", "\"\""),
        ],
    );
}

#[test]
fn grants_with_tokens_and_assertions_have_their_keys() {
    let keys = |text: &str| {
        let draft = imported(text).unwrap();
        let names = draft.keys.iter().map(|key| format!("{}={}", key.name, key.value.to_toml()));
        names.skip(1).collect::<Vec<_>>().join(" ")
    };
    let url = "https://login.acme.com/token";
    assert_eq!(
        keys(&format!("curl {url} -d grant_type=refresh_token -d refresh_token=r -d client_id=a")),
        "grant_type=\"refresh_token\" client_id=\"a\" refresh_token={ file = \"secrets/acme_refresh_token\" }"
    );
    assert_eq!(
        keys(&format!("curl {url} -d grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer -d assertion=$JWT")),
        "grant_type=\"jwt-bearer\" assertion={ env = \"JWT\" }"
    );
    assert_eq!(
        keys(&format!(
            "curl {url} -d grant_type=client_credentials -d client_id=a -d client_assertion=$J \
             --data-urlencode client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        )),
        "grant_type=\"client_credentials\" client_id=\"a\" client_authentication=\"private_key_jwt\" client_assertion={ env = \"J\" }"
    );
    assert_eq!(
        keys(&format!(
            "curl {url} -d grant_type=urn:ietf:params:oauth:grant-type:token-exchange -d subject_token=$T \
             -d subject_token_type=urn:ietf:params:oauth:token-type:jwt -d audience=b"
        )),
        "grant_type=\"token-exchange\" subject_token={ env = \"T\" } \
         subject_token_type=\"urn:ietf:params:oauth:token-type:jwt\" audience=\"b\""
    );
}

#[test]
fn what_no_configuration_can_say_is_refused() {
    let refused = |text: &str, wanted: &str| {
        let error = imported(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
    };
    let url = "https://login.acme.com/token";
    refused(
        &format!("curl {url} -d grant_type=authorization_code -d code=x"),
        "column 38: a grant that begins in a browser",
    );
    refused(&format!("curl {url} -d client_secret=x"), "a client_secret without a client_id");
    refused(&format!("curl {url} -u a:b -d client_secret=x"), "one of the two");
    refused(&format!("curl {url} -u a:b -H 'Authorization: Basic YTpi'"), "one of the two");
    refused(&format!("curl {url} -u a"), "a user without a password");
    refused(&format!("curl {url} -d a=1 -d a=2"), "the field \"a\" twice");
    refused(&format!("curl {url} -H 'Host: other.acme.com' -d a=1"), "a Host that is not the URL's");
    refused(&format!("curl {url} -H @headers -d a=1"), "headers from a file");
    refused(&format!("curl {url} -d a=1 --key k.pem"), "--key without --cert");
    refused(&format!("curl {url} -d a=1 --cert c.pem:pw"), "a certificate with a passphrase");
    refused(&format!("curl {url} -d a=1 -x socks5://p:1"), "not an HTTP proxy");
}

#[test]
fn no_secret_of_a_line_is_printed_anywhere() {
    let secrets =
        ["s3cr3t-Canary-1", "pw-Canary-2", "key-Canary-3", "c2VjcmV0OkNhbmFyeQ", "8A4BE698BCA216718ECB0B1DCA294C69"];
    let text = format!(
        "curl 'https://u:{}@login.acme.com/token' -d 'password={}&username=me&login={}' -H 'x-key: {}' -H 'cookie: {}'",
        secrets[0], secrets[1], secrets[4], secrets[2], secrets[3]
    );
    let draft = imported(&text).unwrap();
    let printed = format!("{}{}", draft.to_toml(true), to_do(draft));
    for secret in secrets {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9 ._/:%+-]{0,30}", "\\PC{0,12}", Just("YOUR_ID".to_owned()), Just("<x>".to_owned())]
}

proptest! {
    #[test]
    fn what_is_imported_passes_check(
        names in proptest::sample::subsequence(
            vec!["grant_type=client_credentials", "client_id", "client_secret", "scope", "audience", "username", "password", "x", "y z"], 0..9),
        values in proptest::collection::vec(value(), 9),
        options in proptest::sample::subsequence(vec!["-G", "-u a:b", "-X PUT", "-H 'x-a: b'", "--json '{}'", "-s"], 0..3),
    ) {
        let mut text = format!("curl https://login.acme.com/token {}", options.join(" "));
        for (name, value) in names.iter().zip(&values) {
            let value = value.replace('\'', "");
            match name.contains('=') {
                true => text.push_str(&format!(" --data-urlencode '{name}'")),
                false => text.push_str(&format!(" --data-urlencode '{name}={value}'")),
            }
        }
        if let Ok(draft) = imported(&text) {
            check(&draft.to_toml(true));
        }
    }

    #[test]
    fn no_secret_comes_out_whatever_it_is(secret in "[a-z]{3}[0-9][A-Za-z0-9!@%^&*=+<>{}.-]{8,24}") {
        let options = [
            format!("--data-urlencode 'client_id=a' --data-urlencode 'client_secret={secret}'"),
            format!("--data-urlencode 'username=a' --data-urlencode 'password={secret}'"),
            format!("-u 'a:{secret}'"),
            format!("-H 'x-api-key: {secret}'"),
            format!("-H 'Authorization: Bearer {secret}'"),
            format!("--json '{{\"api_token\":\"{secret}\"}}'"),
        ];
        for option in options {
            let draft = imported(&format!("curl https://login.acme.com/token {option}")).unwrap();
            let printed = format!("{}{}", draft.to_toml(true), to_do(draft));
            prop_assert!(!printed.contains(&secret), "{printed}");
        }
    }

    #[test]
    fn no_line_makes_it_panic(text in r#"curl( (-[a-zA-Z]|--[a-z]{2,8}|-H|-d|"?\$[A-Z]{1,3}=?"?|"?\$\(cat [a-z=&]{1,6}\)"?|-u|-F|--json|'[^']{0,12}'|https://[a-z{}.<>$]{1,12}/\PC{0,6}|[a-z=&@:;<{"]{1,12})){0,8}"#) {
        if let Ok(draft) = imported(&text) {
            let written = draft.to_toml(true);
            prop_assert!(written.parse::<toml::Table>().is_ok(), "{written}");
            prop_assert!(!marks::has_marks(&written), "{written:?}");
        }
    }
}
