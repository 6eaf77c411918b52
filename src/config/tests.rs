//! What the loader says to right and wrong files.

use super::*;
use crate::oauth::settings::{BasicEncoding, ClientAuthentication, Encoding, GrantType, Param};
use crate::proxy::settings::Replay;
use crate::secret::SecretSource;
use crate::token::settings::Early;

pub(super) const SMALLEST: &str = r#"
[routes.api]
upstream = "https://api.example.com"

[credentials.api]
token_endpoint = "https://login.example.com/oauth/token"
client_id      = "my-client"
client_secret  = "s3cr3t-value"
"#;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

pub(super) fn load_text_in(text: &str, variables: &[(&str, &str)]) -> Result<Settings, Mistakes> {
    let path = Path::new("bearerd.toml");
    let sources = Sources { file: Some(path.to_owned()), environment: environment(variables), ..Sources::default() };
    load_text(text, path, &sources)
}

pub(super) fn good(text: &str) -> Settings {
    load_str(text, Path::new("bearerd.toml")).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"))
}

/// The smallest file with lines added to the tables of its route and its credential.
pub(super) fn with(route: &str, credential: &str) -> String {
    SMALLEST.replace("[credentials.api]\n", &format!("{route}\n[credentials.api]\n")) + credential
}

/// Each expected mistake as (code, line, key, a phrase of the message); no others may come.
pub(super) fn check(text: &str, wanted: &[(&str, usize, &str, &str)]) {
    let mistakes = match load_str(text, Path::new("bearerd.toml")) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(mistakes) => mistakes,
    };
    let found: Vec<_> = mistakes.iter().collect();
    assert_eq!(found.len(), wanted.len(), "{text}\n{mistakes}");
    for (mistake, (code, line, key, phrase)) in found.iter().zip(wanted) {
        let Place::File { line: found_line, .. } = mistake.place else { panic!("no place: {mistake}") };
        assert_eq!((mistake.reason.code(), found_line, mistake.key.as_str()), (*code, *line, *key), "{mistakes}");
        assert!(mistake.message.contains(phrase), "{phrase:?} is not in: {mistake}");
    }
}

/// One mistake in the credential of the smallest file; its first added line is 9.
pub(super) fn check_credential(lines: &str, code: &str, key: &str, phrase: &str) {
    check(&with("", lines), &[(code, lines.lines().count() + 9, key, phrase)]);
}

/// One mistake in the route of the smallest file, on its first added line, which is line 5.
pub(super) fn check_route(lines: &str, code: &str, key: &str, phrase: &str) {
    check(&with(lines, ""), &[(code, lines.lines().count() + 4, key, phrase)]);
}

#[test]
fn the_smallest_file_is_complete() {
    let settings = good(SMALLEST);
    assert_eq!(settings.listen, [ListenAddress::Localhost(8080)]);
    assert_eq!(settings.admin.listen, Some(ListenAddress::Localhost(9180)));
    assert_eq!(settings.routes[0].route.credential.as_deref(), Some("api"));
    assert_eq!(settings.routes[0].route.path, "/");
    let oauth = &settings.credentials[0].oauth;
    assert_eq!(oauth.grant, GrantType::ClientCredentials);
    let ClientAuthentication::Basic { encoding, .. } = oauth.client else { panic!("{oauth:?}") };
    assert_eq!(encoding, BasicEncoding::Form);
    assert!(!settings.credentials[0].token.lockout);
    assert!(oauth.use_refresh_token && oauth.legal.bearer);
    assert!(settings.workers >= 1 && settings.workers <= 4);
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn the_grant_and_client_authentication_follow_from_what_is_given() {
    let file = |lines: &str| {
        let text = "[routes.api]\nupstream = \"https://api.example.com\"\n[credentials.api]\n\
            token_endpoint = \"https://login.example.com/t\"\n";
        good(&format!("{text}{lines}")).credentials.remove(0)
    };
    let anonymous = file("");
    assert!(matches!(anonymous.oauth.client, ClientAuthentication::Anonymous));
    let public = file("client_id = \"a\"");
    assert!(matches!(public.oauth.client, ClientAuthentication::Public { .. }));
    let login = file("username = \"u\"\npassword = \"p\"");
    assert_eq!(login.oauth.grant, GrantType::Password);
    assert!(login.token.lockout && login.token.use_refresh_token);
    let bare = file(
        "grant_type = \"none\"\nclient_id = \"a\"\nclient_secret = \"b\"\nclient_authentication = \"client_secret_post\"",
    );
    assert_eq!(bare.oauth.grant, GrantType::None);
    assert!(matches!(bare.oauth.client, ClientAuthentication::Post { .. }));
    assert!(!bare.oauth.use_refresh_token && !bare.token.use_refresh_token);
    let both = file("grant_type = \"client_credentials\"\nusername = \"u\"\npassword = \"p\"\nlockout = false");
    assert_eq!(both.oauth.grant, GrantType::ClientCredentials);
    assert!(both.oauth.username.is_some() && !both.token.lockout);
}

#[test]
fn params_keep_the_type_of_numbers_and_booleans_and_the_order_written() {
    let text = with("", "params = { z = 7, b = true, a = \"text\", f = 1.5, s = { env = \"COMPANY\" } }");
    let settings = load_text_in(&text, &[("COMPANY", "Acme\n")]).unwrap();
    let params = &settings.credentials[0].oauth.params;
    let names: Vec<_> = params.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["z", "b", "a", "f", "s"]);
    assert!(matches!(&params[0].1, Param::Json(value) if *value == serde_json::json!(7)));
    assert!(matches!(&params[1].1, Param::Json(value) if *value == serde_json::json!(true)));
    let Param::Text(SecretSource::Env { value, .. }) = &params[4].1 else { panic!() };
    assert_eq!(value.expose(), "Acme");
}

#[test]
fn a_route_overrides_its_credential_key_by_key() {
    let text = with(
        "[routes.api.rejection]\nstatus = [401, 419]\n[routes.api.inject]\nscheme = \"\"",
        "[credentials.api.rejection]\nreplay = \"idempotent\"\nstatus = [403]\ngap = \"5m\"\n\
         [credentials.api.inject]\nheader = \"X-Api-Key\"\n",
    );
    let settings = good(&text);
    let route = &settings.routes[0].route;
    assert_eq!(route.rejection.status, [401, 419]);
    assert_eq!(route.rejection.replay, Replay::Idempotent);
    assert_eq!(
        (route.inject.header().map(http::HeaderName::as_str), route.inject.scheme()),
        (Some("x-api-key"), Some(""))
    );
    let credential = &settings.credentials[0];
    assert_eq!(credential.token.gap, Duration::from_secs(300));
    assert!(!credential.oauth.legal.bearer, "the only route sends the token without the scheme Bearer");
}

#[test]
fn values_have_units_and_may_be_off() {
    let settings = good(&format!(
        "{SMALLEST}refresh = {{ early = \"5%\", wait = \"1h30m\" }}\nencoding = \"json\"\n\
         [timeouts]\nresponse_head = \"off\"\nconnect = \"500ms\"\n[limits]\nreplay_memory = \"1MiB\"\n"
    ));
    assert_eq!(settings.timeouts.response_head, None);
    assert_eq!(settings.timeouts.connect, Duration::from_millis(500));
    assert_eq!(settings.limits.replay_memory, 1 << 20);
    assert_eq!(settings.credentials[0].token.early, Early::Share(0.05));
    assert_eq!(settings.credentials[0].token.wait, Duration::from_secs(5400));
    assert_eq!(settings.credentials[0].oauth.encoding, Encoding::Json);
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let text = r#"listen = "0.0.0.0:8080"
wokers = 2

[routes.api]
backend = "https://api.example.com"

[credentials.api]
token_url = "https://login.example.com/oauth/token"
client_id = "x"
[timeouts]
connect = 5
"#;
    check(
        text,
        &[
            ("F009", 1, "listen", "from = ["),
            ("F003", 2, "wokers", "did you mean \"workers\"?"),
            // That upstream is missing is said by its other name.
            ("F003", 5, "routes.api.backend", "did you mean \"upstream\"?"),
            ("F003", 8, "credentials.api.token_url", "did you mean \"token_endpoint\"?"),
            ("F005", 11, "timeouts.connect", "\"5s\""),
        ],
    );
}

#[test]
fn a_mistake_reads_like_a_line_of_a_compiler() {
    let text = with("", "  token_url = \"https://login.example.com/oauth/token\"\n");
    let mistakes = load_str(&text, Path::new("conf/bearerd.toml")).unwrap_err();
    assert_eq!(
        mistakes.to_string(),
        "conf/bearerd.toml:10:3: F003 credentials.api.token_url: unknown key; did you mean \"token_endpoint\"?\n\
         1 mistake; `bearerd explain CODE` says more"
    );
}

#[test]
fn syntax_errors_have_a_place_and_show_no_content() {
    check("listen = \n", &[("F002", 1, "", "")]);
    check("a = 1\na = 2\n", &[("F002", 2, "", "duplicate key \"a\"; it stands in line 1 already")]);
    check("[a]\nb = 1\n[c]\nb = 1\nb = 2\n", &[("F002", 5, "", "\"b\"; it stands in line 4 already")]);
    let text = "[credentials.api]\nclient_secret = \"hunter2\nusername = hunter3\n";
    let shown = load_str(text, Path::new("x.toml")).unwrap_err().to_string();
    assert!(shown.contains("x.toml:2:") && !shown.contains("hunter"), "{shown}");
}

#[test]
fn words_of_other_tools_are_understood() {
    let text = |key: &str| with("", &format!("{key} = \"x\"\n"));
    let check = |key: &str, phrase: &str| {
        let mistakes = load_str(&text(key), Path::new("bearerd.toml")).unwrap_err();
        let all: Vec<_> = mistakes.iter().filter(|mistake| mistake.key.ends_with(key)).collect();
        assert!(all.iter().any(|mistake| mistake.message.contains(phrase)), "{key}: {mistakes}");
    };
    let mut looped = 0;
    for (key, phrase) in [
        ("token_url", "token_endpoint"),
        ("tokenUrl", "token_endpoint"),
        ("auth_url", "token_endpoint"),
        ("url", "token_endpoint"),
        ("clientId", "client_id"),
        ("client-id", "client_id"),
        ("clientSecret", "client_secret"),
        ("scopes", "scope"),
        ("user", "username"),
        ("pass", "password"),
        ("grant", "grant_type"),
        ("idp", "issuer"),
        ("issuer_url", "issuer"),
        ("skip_verify", "no switch"),
        ("insecure", "no switch"),
        ("backend", "upstream in [routes.NAME]"),
        ("target", "upstream in [routes.NAME]"),
        ("port", "listen in"),
        ("upstream", "belongs in [routes.NAME]"),
        ("default_lifetime", "belongs in [credentials.NAME.response]"),
        ("token_endpiont", "token_endpoint"),
        ("timeout", "[timeouts]"),
        ("qqqqqqqqqqqq", "[credentials.NAME] takes token_endpoint"),
    ] {
        check(key, phrase);
        looped += 1;
    }
    assert_eq!(looped, 23);
    check_route("port = 80", "F003", "routes.api.port", "listen");
}

#[test]
fn a_route_may_set_and_remove_fields_that_are_its_own_to_say() {
    let lines = "headers = { set = { X-Tenant = \"7\", user-agent = \"\" }, remove = [\"cookie\", \"Accept\"] }";
    let settings = good(&with(lines, ""));
    let rules = &settings.routes[0].route.fields;
    let set: Vec<_> = rules.set.iter().map(|field| (field.name.as_str(), field.value.to_str().unwrap())).collect();
    assert_eq!(set, [("x-tenant", "7"), ("user-agent", "")]);
    assert_eq!(rules.remove, ["cookie", "accept"]);
    for name in ["host", "Content-Length", "connection", "te", "keep-alive", "via", "proxy-authorization", "expect"] {
        let set = format!("headers = {{ set = {{ {name} = \"x\" }} }}");
        check_route(&set, "F007", &format!("routes.api.headers.set.{name}"), "belongs to the connection");
        let remove = format!("headers = {{ remove = [\"{name}\"] }}");
        check_route(&remove, "F007", "routes.api.headers.remove", "belongs to the connection");
    }
    let set = |set: &str| format!("headers = {{ set = {{ {set} }} }}");
    check_route(&set("authorization = \"x\""), "F007", "routes.api.headers.set.authorization", "carries the token");
    check_route("headers = { remove = \"Authorization\" }", "F007", "routes.api.headers.remove", "carries the token");
    let custom = "inject = { header = \"x-api-key\" }\n";
    let alias = format!("{custom}{}", set("x_api_key = \"x\""));
    check_route(&alias, "F007", "routes.api.headers.set.x_api_key", "carries the token");
    good(&with(&format!("{custom}{}", set("authorization = \"x\"")), ""));
    check_route(&set("x-a = \"1\", X_A = \"2\""), "F007", "routes.api.headers.set.X_A", "written twice");
    let both = "headers = { set = { x-a = \"1\" }, remove = [\"X-A\"] }";
    check_route(both, "F007", "routes.api.headers.set.x-a", "is removed too");
    check_route(&set("\"a b\" = \"1\""), "F005", "routes.api.headers.set.\"a b\"", "no legal name");
    check_route(&set("x-a = \"a\\nb\""), "F005", "routes.api.headers.set.x-a", "no header field can");
    check_route(&set("x-a = 7"), "F005", "routes.api.headers.set.x-a", "must be a string");
    check_route(&set("x-a = { file = \"/none\" }"), "F010", "routes.api.headers.set.x-a", "cannot read");
    check_route("headers = { add = { x-a = \"1\" } }", "F003", "routes.api.headers.add", "");
}

#[test]
fn a_route_inherits_the_deadlines_that_it_does_not_say() {
    let general = "[timeouts]\nconnect = \"7s\"\nresponse_head = \"9s\"\nupstream_idle = \"off\"\n";
    let settings = good(&format!("{general}{}", with("timeouts = { response_head = \"off\" }", "")));
    let timeouts = settings.routes[0].route.timeouts;
    let seconds = std::time::Duration::from_secs;
    assert_eq!((timeouts.connect, timeouts.request_body_idle), (seconds(7), Some(seconds(30))));
    assert_eq!((timeouts.response_head, timeouts.upstream_idle), (None, None));
    check_route("timeouts = { connect = \"off\" }", "F005", "routes.api.timeouts.connect", "cannot be switched off");
    check_route("timeouts = { drain = \"1s\" }", "F003", "routes.api.timeouts.drain", "belongs in [timeouts]");
    check_route("header_case = \"Preserve\"", "F005", "routes.api.header_case", "did you mean \"preserve\"?");
}

#[test]
fn keys_of_later_versions_are_refused_as_not_yet() {
    check_route("callers.client_names = \"x\"", "F004", "routes.api.callers.client_names", "not supported yet");
}

#[test]
fn a_socket_that_is_handed_over_is_expected_with_what_must_hold_of_it() {
    let everywhere: std::net::SocketAddr = "[::]:80".parse().unwrap();
    let check = |text: &str, wanted: &[(&str, bool)]| {
        let settings = good(&format!("{text}{SMALLEST}"));
        let is_mistake = |expected: &super::Expected| match expected.exposed(everywhere) {
            Some(mistake) => mistake.to_string().contains("F009") && mistake.message.contains("callers"),
            None => false,
        };
        let found: Vec<_> = settings.inherited.iter().map(|e| (&*e.name, is_mistake(e))).collect();
        assert_eq!(found, wanted, "{text}");
        let loopback = "127.0.0.1:80".parse().unwrap();
        assert!(settings.inherited.iter().all(|expected| expected.exposed(loopback).is_none()));
    };
    check("listen = \"localhost:1\"\n", &[]);
    check("listen = \"fd:web.socket\"\n", &[("web.socket", true)]);
    check("listen = [\"fd:web\", \"localhost:1\", \"fd:a b\"]\n", &[("web", true), ("a b", true)]);
    check("listen = \"fd:web\"\ncallers.from = [\"any\"]\n", &[("web", false)]);
    let admin = "admin = { listen = \"fd:admin\", probe_listen = \"fd:probes\" }\n";
    check(admin, &[("admin", true), ("probes", false)]);
    // The key is not asked for there.
    check(&format!("callers.key = \"k\"\n{admin}"), &[("admin", true), ("probes", false)]);
    check("listen = \"fd:web\"\ncallers.key = \"k\"\n", &[("web", false)]);
    let route = with("listen = \"fd:own\"\ncallers = { from = [\"10.0.0.0/8\"] }", "");
    assert!(good(&route).inherited[0].exposed(everywhere).is_none());
    assert!(good(&with("listen = \"fd:own\"", "")).inherited[0].exposed(everywhere).is_some());
}

#[test]
fn wrong_values_say_what_would_be_right() {
    let top = |line: &str, key: &str, phrase: &str| {
        check(&format!("{line}{SMALLEST}"), &[("F005", 1, key, phrase)]);
    };
    top("listen = 8080", "listen", "\"localhost:8080\"");
    top("listen = \"8080\"", "listen", "\"localhost:8080\"");
    top("listen = \":8080\"", "listen", "\"0.0.0.0:8080\"");
    top("listen = \"::1:8080\"", "listen", "\"[::1]:8080\"");
    top("listen = \"localhost:99999\"", "listen", "port");
    top("listen = \"app.example.com:80\"", "listen", "IP address");
    top("listen = []", "listen", "at least one");
    top("callers.uids = []", "callers.uids", "nobody in");
    top("callers.uids = [\"no such user\"]", "callers.uids", "write the number instead");
    top("callers.gids = [-1]", "callers.gids", "no number of a group");
    top("callers.gids = [true]", "callers.gids", "name or number");
    top("callers.key = \"\"", "callers.key", "must not be empty");
    top("callers = { key = \"k\", key_header = \"host\" }", "callers.key_header", "belongs to the connection");
    top("listen = \"unix:\"", "listen", "must name a file");
    top("listen = \"fd:\"", "listen", "\"fd:bearerd.socket\"");
    top("listen = \"fd:a:b\"", "listen", "FileDescriptorName=");
    top("listen = \"fd:a\\tb\"", "listen", "FileDescriptorName=");
    top(&format!("listen = \"fd:{}\"", "x".repeat(256)), "listen", "FileDescriptorName=");
    top(&format!("listen = \"unix:/{}\"", "x".repeat(107)), "listen", "at most 107 bytes");
    top("workers = 0", "workers", "from 1 to");
    top("workers = \"2\"", "workers", "an integer");
    top("admin = 1", "admin", "[admin]");
    top("admin.retry = \"true\"", "admin.retry", "without quotation marks");
    top("admin.listen = [\"localhost:1\", \"localhost:2\"]", "admin.listen", "one address");
    top("callers.from = [\"everybody\"]", "callers.from", "\"any\"");
    top("callers.from = []", "callers.from", "nobody");
    top("callers.hosts = [\"a:80\"]", "callers.hosts", "without its port");
    top("callers.hosts = [\"*.a\"]", "callers.hosts", "patterns");
    top("timeouts.connect = \"off\"", "timeouts.connect", "cannot be switched off");
    top("timeouts.connect = \"5\"", "timeouts.connect", "\"5s\"");
    top("timeouts.keep_alive = \"0s\"", "timeouts.keep_alive", "\"off\"");
    top("timeouts.drain = \"100years\"", "timeouts.drain", "ten years");
    top("limits.replay_memory = 5", "limits.replay_memory", "\"5B\"");
    top("limits.connections = 0", "limits.connections", "from 1 to");
    top("limits.requests_in_flight = \"5\"", "limits.requests_in_flight", "integer");
    top("limits.queue = 5", "limits.queue", "5s");
    top("limits.head = \"1MiB\"", "limits.head", "from 1KiB to 256KiB");
    top("limits.replay_memory = \"5 apples\"", "limits.replay_memory", "\"64KiB\"");
    top("log.level = \"warning\"", "log.level", "did you mean \"warn\"?");
    top("log.format = 1979-05-27", "log.format", "not a date");
}

#[test]
fn wrong_values_of_a_route_say_what_would_be_right() {
    let route = |line: &str, key: &str, phrase: &str| check_route(line, "F005", &format!("routes.api.{key}"), phrase);
    route("path = \"items\"", "path", "\"/items\"");
    route("path = \"/a/../b\"", "path", "segments");
    route("path = \"/a//b\"", "path", "//");
    route("path = \"/a%2fb\"", "path", "percent-encoded");
    route("path = \"/a?b\"", "path", "? and #");
    route("path = \"/a b\"", "path", "' '");
    route("host = \"a.example:80\"", "host", "without its port");
    route("host = \"http://a.example\"", "host", "without http://");
    route("credential = \"apj\"", "credential", "did you mean \"api\"?");
    route("inject.header = \"Host\"", "inject.header", "cannot be host");
    route("inject.header = \"Keep-Alive\"", "inject.header", "cannot be keep-alive");
    route("inject.header = \"a b\"", "inject.header", "name of a header");
    route("inject.scheme = \"two words\"", "inject.scheme", "one word");
    route("rejection.status = [200]", "rejection.status", "success");
    route("rejection.status = [1000]", "rejection.status", "100 to 599");
    route("rejection.grpc_status = [17]", "rejection.grpc_status", "1 to 16");
    route(
        "rejection.www_authenticate_error = \"insufficient_scope\"",
        "rejection.www_authenticate_error",
        "no new token",
    );
    route("rejection.replay = \"none\"", "rejection.replay", "\"all\" or \"idempotent\"");
    route("tls.server_name = \"a b\"", "tls.server_name", "DNS name");
    let upstream = |url: &str, phrase: &str| {
        check(&SMALLEST.replace("https://api.example.com", url), &[("F005", 3, "routes.api.upstream", phrase)]);
    };
    upstream("api.example.com", "https://");
    upstream("ftp://api.example.com", "http:// or https://");
    upstream("https://u:p@api.example.com", "user name");
    upstream("https://api.example.com/?a=b", "query");
    upstream("https://api.example.com/a#b", "fragment");
    upstream("https://api.example.com:99999", "port");
    upstream("https://api.example.com:0", "port");
    upstream("https://api.example.com:", "port");
    upstream("https://api.example.com/a/../b", "segments");
    upstream("https://api_.-example..com", "no DNS name");
    upstream("https://", "");
}

#[test]
fn wrong_values_of_a_credential_say_what_would_be_right() {
    let credential = |line: &str, key: &str, phrase: &str| {
        check_credential(line, "F005", &format!("credentials.api.{key}"), phrase);
    };
    credential("grant_type = \"client_credential\"", "grant_type", "did you mean \"client_credentials\"?");
    credential("client_authentication = \"basic\"", "client_authentication", "\"client_secret_basic\"");
    credential("encoding = \"xml\"", "encoding", "\"form\", \"json\", \"multipart\" or \"query\"");
    credential("method = \"post\"", "method", "\"POST\"");
    credential("method = \"CONNECT\"", "method", "cannot be");
    credential("scope = [\"a\"]", "scope", "must be a string, not a list");
    credential("username = \"\"", "username", "must not be empty");
    credential("username = 5", "username", "{ file = ");
    credential("username = {}", "username", "{ file = ");
    credential("params = { a = [1] }", "params.a", "not a list");
    credential("params = { a = inf }", "params.a", "JSON");
    credential("params = { a = 99999999999999999999 }", "params.a", "JSON");
    credential("headers = { x-a = \"b\\nc\" }", "headers.x-a", "characters");
    credential("headers = { \"a b\" = \"c\" }", "headers.\"a b\"", "no legal name");
    credential("response.access_token = \"data.token\"", "response.access_token", "\"/data/token\"");
    credential("response.access_token = \"/a~2b\"", "response.access_token", "~0");
    credential("response.default_lifetime = \"0s\"", "response.default_lifetime", "more than zero");
    credential("refresh.early = \"60%\"", "refresh.early", "50 %");
    credential("refresh.early = \"0%\"", "refresh.early", "50 %");
    credential("refresh.early = \"soon\"", "refresh.early", "\"20%\"");
    credential("permanent = [{ status = 99 }]", "permanent.status", "200 to 599");
    credential("permanent = 5", "permanent", "[[credentials.NAME.permanent]]");
    check(
        &SMALLEST.replace("[credentials.api]", "[credentials.\"a b\"]"),
        &[("F005", 5, "credentials.\"a b\"", "letters, digits")],
    );
}

#[test]
fn missing_keys_are_named_with_an_example() {
    check("", &[("F006", 0, "routes", "[routes.api]")]);
    check("[routes.a]\nupstream = \"https://a.example\"", &[("F006", 1, "routes.a.credential", "[credentials.NAME]")]);
    let two = format!("{SMALLEST}\n[credentials.b]\ntoken_endpoint = \"https://b.example/\"\n");
    check(&two, &[("F006", 2, "routes.api.credential", "\"api\" or \"b\"")]);
    let login = with("", "grant_type = \"password\"\nusername = \"x\"");
    check(&login, &[("F006", 6, "credentials.api.password", "password = { file = \"…\" }")]);
    let login = with("", "password = \"x\"");
    check(&login, &[("F006", 6, "credentials.api.username", "username = \"NAME\"")]);
}

#[test]
fn contradictions_are_refused() {
    let credential = |line: &str, key: &str, phrase: &str| {
        check_credential(line, "F007", &format!("credentials.api.{key}"), phrase);
    };
    credential("params = { scope = \"a\" }", "params.scope", "write scope beside params");
    credential("params = { grant_type = \"a\" }", "params.grant_type", "grant_type = \"none\"");
    credential("headers = { Authorization = \"a\" }", "headers.Authorization", "client_secret_basic");
    credential("headers = { content-type = \"a\" }", "headers.content-type", "bearerd itself");
    credential("client_authentication = \"none\"", "client_authentication", "client_secret");
    check_route("rejection.gap = \"1s\"", "F007", "routes.api.rejection.gap", "[credentials.NAME.rejection]");
    let post = "client_authentication = \"client_secret_post\"\nbasic_encoding = \"raw\"";
    check_credential(post, "F007", "credentials.api.basic_encoding", "client_secret_basic only");
    let post = "client_authentication = \"client_secret_post\"\nparams = { client_id = \"a\" }";
    check_credential(post, "F007", "credentials.api.params.client_id", "sent already");
    let same = "[routes.b]\nupstream = \"https://b.example\"";
    check(&with(same, ""), &[("F007", 5, "routes.b", "routes.api")]);
    check(&format!("listen = \"localhost:0\"{}", with(same, "")), &[("F007", 5, "routes.b", "routes.api")]);
    good(&format!("listen = \"localhost:0\"{}", with(&format!("{same}\nlisten = \"localhost:0\""), "")));
    let bare = format!(
        "{}\ncredential = \"none\"\nrejection.status = [401]\n",
        "[routes.a]\nupstream = \"https://a.example\""
    );
    check(&bare, &[("F007", 4, "routes.a.rejection", "sends no token")]);
}

#[test]
fn listeners_that_stand_in_each_others_way_are_refused() {
    let collide = |listen: &str, admin: &str| {
        let text = format!("listen = {listen:?}\nadmin.listen = {admin:?}{SMALLEST}callers.from = 1\n");
        let text = text.replace("callers.from = 1\n", "[callers]\nfrom = \"any\"\n");
        load_str(&text, Path::new("bearerd.toml")).err().map(|mistakes| mistakes.to_string())
    };
    for (listen, admin) in [
        ("localhost:9180", "localhost:9180"),
        ("127.0.0.1:9180", "localhost:9180"),
        ("0.0.0.0:9180", "localhost:9180"),
        ("[::]:9180", "127.0.0.1:9180"),
    ] {
        let mistakes = collide(listen, admin).unwrap_or_else(|| panic!("{listen} {admin} were accepted"));
        assert!(mistakes.contains("F007") && mistakes.contains("already taken"), "{mistakes}");
    }
    assert_eq!(collide("localhost:0", "localhost:0"), None);
    assert_eq!(collide("127.0.0.1:9180", "[::1]:9180"), None);
    assert_eq!(collide("127.0.0.1:9180", "127.0.0.2:9180"), None);
    check(&format!("listen = [\"localhost:1\", \"127.0.0.1:1\"]{SMALLEST}"), &[("F007", 1, "listen", "twice")]);
    check(&format!("listen = \"localhost:9180\"{SMALLEST}"), &[("F007", 1, "listen", "admin.listen")]);
}

#[test]
fn routes_share_a_listener_by_path_and_host() {
    let text = with(
        "[routes.b]\nupstream = \"https://b.example\"\npath = \"/b/\"\n\
         [routes.c]\nupstream = \"https://c.example\"\nhost = \"C.localhost\"\n\
         [routes.d]\nupstream = \"https://d.example\"\nlisten = \"127.0.0.1:8081\"",
        "",
    );
    let settings = good(&text);
    let names: Vec<_> = settings.routes.iter().map(|route| route.route.name.as_str()).collect();
    assert_eq!(names, ["api", "b", "c", "d"]);
    assert_eq!(settings.routes[1].route.path, "/b");
    assert_eq!(settings.routes[2].route.host.as_deref(), Some("c.localhost"));
    assert_eq!(settings.routes[3].listen.len(), 1);
}

#[test]
fn the_shared_listener_is_not_opened_if_every_route_has_its_own() {
    let settings = good(&with("listen = \"127.0.0.1:8081\"", ""));
    assert!(settings.listen.is_empty());
    let settings = good(&format!("listen = \"localhost:1\"{}", with("listen = \"127.0.0.1:8081\"", "")));
    assert!(settings.warnings[0].contains("not listened on"), "{:?}", settings.warnings);
}

#[test]
fn listening_beyond_loopback_needs_a_rule_who_may_call() {
    check(&format!("listen = \"0.0.0.0:80\"{SMALLEST}"), &[("F009", 1, "listen", "add to [callers]: from = [")]);
    check(&format!("admin.listen = \"0.0.0.0:80\"{SMALLEST}"), &[("F009", 1, "admin.listen", "from")]);
    good(&format!("admin.probe_listen = \"0.0.0.0:80\"{SMALLEST}"));
    let settings = good(&format!("listen = \"0.0.0.0:80\"\ncallers.from = [\"10.1.2.3/8\", \"::1\"]{SMALLEST}"));
    let from: Vec<_> = settings.callers.from.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(from, ["10.0.0.0/8", "::1/128"]);
}

#[test]
fn plain_http_beyond_loopback_must_be_allowed() {
    let text = SMALLEST.replace("https://api", "http://api");
    check(&text, &[("F008", 3, "routes.api.upstream", "allow_plain_http = true")]);
    good(&text.replace("[credentials", "allow_plain_http = true\n[credentials"));
    let text = SMALLEST.replace("https://login", "http://login");
    check(&text, &[("F008", 6, "credentials.api.token_endpoint", "allow_plain_http = true")]);
    good(&format!("{text}allow_plain_http = true"));
    for url in ["http://localhost:1", "http://127.0.0.2", "http://[::1]:80/v2", "http://a.localhost"] {
        good(&SMALLEST.replace("https://api.example.com", url));
    }
}

#[test]
fn secrets_are_read_when_the_file_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bearerd.toml");
    let text = SMALLEST.replace("\"s3cr3t-value\"", "{ file = \"secret\" }");
    let missing = load_str(&text, &path).unwrap_err().to_string();
    assert!(missing.contains("F010 credentials.api.client_secret: cannot read the secret file"), "{missing}");
    assert!(missing.contains("No such file"), "{missing}");
    std::fs::write(directory.path().join("secret"), "\n").unwrap();
    assert!(load_str(&text, &path).unwrap_err().to_string().contains("is empty"));
    std::fs::write(directory.path().join("secret"), "hunter2\n").unwrap();
    let settings = load_str(&text, &path).unwrap();
    let ClientAuthentication::Basic { secret, .. } = &settings.credentials[0].oauth.client else { panic!() };
    assert_eq!(*secret, SecretSource::File(directory.path().join("secret")));
}

#[test]
fn secrets_of_the_environment_and_of_systemd_are_found_or_missed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("client"), "hunter2").unwrap();
    let text = SMALLEST.replace("\"s3cr3t-value\"", "{ systemd = \"client\" }");
    load_text_in(&text, &[("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())]).unwrap();
    let message = load_text_in(&text, &[]).unwrap_err().to_string();
    assert!(message.contains("F010") && message.contains("LoadCredential=client:PATH"), "{message}");
    let text = SMALLEST.replace("\"s3cr3t-value\"", "{ env = \"CLIENT\" }");
    load_text_in(&text, &[("CLIENT", "x")]).unwrap();
    for variables in [&[][..], &[("CLIENT", "")], &[("CLIENT", "\n")]] {
        let message = load_text_in(&text, variables).unwrap_err().to_string();
        assert!(
            message.contains("F010 credentials.api.client_secret: the environment variable \"CLIENT\""),
            "{message}"
        );
    }
    check(
        &SMALLEST.replace("\"s3cr3t-value\"", "{ path = \"x\" }"),
        &[("F003", 8, "credentials.api.client_secret.path", "unknown key")],
    );
}

#[test]
fn a_ca_file_that_cannot_be_used_is_a_mistake() {
    check_route("tls.ca = \"no-such.pem\"", "F011", "routes.api.tls.ca", "no-such.pem");
}

#[test]
fn a_state_directory_that_is_not_there_is_a_mistake() {
    check(
        &format!("state_directory = \"no/such\"{SMALLEST}"),
        &[("F011", 1, "state_directory", "mkdir -m 700 no/such")],
    );
    let sources = Sources { file: Some("b.toml".into()), before_start: true, ..Sources::default() };
    let text = format!("state_directory = \"no/such\"{SMALLEST}");
    let settings = load_text(&text, Path::new("b.toml"), &sources).unwrap();
    assert!(
        settings.warnings.iter().any(|line| line.contains("StateDirectory= of the systemd unit")),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn a_credential_that_no_route_uses_is_a_warning() {
    let text = with("credential = \"api\"", "\n[credentials.b]\ntoken_endpoint = \"https://b.example/\"");
    let settings = good(&text);
    assert_eq!(settings.warnings.len(), 1);
    assert!(settings.warnings[0].contains("credentials.b: no route uses it"), "{:?}", settings.warnings);
}

#[test]
fn unknown_keys_can_be_ignored_but_not_those_that_keep_callers_out() {
    let load = |line: &str| {
        let path = Path::new("bearerd.toml");
        let sources = Sources { file: Some(path.to_owned()), ignore_unknown_keys: true, ..Sources::default() };
        load_text(&format!("{line}{SMALLEST}"), path, &sources)
    };
    let settings = load("store.future = 1\nfuture = 1").unwrap();
    assert_eq!(settings.warnings.len(), 2);
    assert!(settings.warnings[1].contains("(ignored)"), "{:?}", settings.warnings);
    for line in
        ["callers.client_uids = [1]", "callers.future = 1", "tls.future = 1", "caller.uids = [1]", "Callers.uids = [1]"]
    {
        assert!(load(line).unwrap_err().to_string().contains("keeps callers out"), "{line}");
    }
}

#[test]
fn no_message_or_debug_output_shows_a_secret() {
    let text =
        with("wrong = 1", "password = 5\nparams = { a = { env = \"hunter2\" } }\nheaders = { x = \"hunter3\\n\" }");
    let shown = load_text_in(&text, &[("hunter2", "hunter4")]).unwrap_err().to_string();
    assert!(!shown.contains("s3cr3t") && !shown.contains("hunter3") && !shown.contains("hunter4"), "{shown}");
    let text = SMALLEST.replace("https://api", "https://me:hunter5@api");
    let shown = load_str(&text, Path::new("bearerd.toml")).unwrap_err().to_string();
    assert!(shown.contains("user name") && !shown.contains("hunter5"), "{shown}");
    let settings = format!("{:?}", good(SMALLEST));
    assert!(!settings.contains("s3cr3t"), "{settings}");
}

#[test]
fn what_nests_without_end_is_refused_and_not_followed() {
    let dots = "a.".repeat(100_000) + "a = 1";
    check(&dots, &[("F002", 1, "", "deep")]);
    let quoted = "[\"a\".".to_owned() + &"\"a\".".repeat(100_000) + "b]\n";
    check(&quoted, &[("F002", 1, "", "deep")]);
    let brackets = "a = ".to_owned() + &"[".repeat(100_000);
    assert!(load_str(&brackets, Path::new("x")).is_err());
    let tables = "a = ".to_owned() + &"{ a = ".repeat(100_000);
    assert!(load_str(&tables, Path::new("x")).is_err());
    good(&format!("{SMALLEST}scope = \"{}\"", ".".repeat(1000)));
}

#[test]
fn a_misspelled_key_is_not_missing_too() {
    let text = SMALLEST.replace("token_endpoint", "token_endpiont");
    check(&text, &[("F003", 6, "credentials.api.token_endpiont", "did you mean \"token_endpoint\"?")]);
}

#[test]
fn what_was_not_filled_in_is_a_warning() {
    let scope = good(&with("", "scope = \"api://YOUR-APP-ID/.default\"")).warnings.join("\n");
    assert!(scope.contains("credentials.api.scope: YOUR-APP-ID is a placeholder"), "{scope}");
    let secret = |value: &str| good(&SMALLEST.replace("\"s3cr3t-value\"", value)).warnings.join("\n");
    assert!(secret("\"\"").contains("client_secret: is empty"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let file = format!("{{ file = {path:?} }}");
    std::fs::write(&path, "s3cret\n\n").unwrap();
    assert!(secret(&file).contains("ends with white space"));
    std::fs::write(&path, "s3cret\n").unwrap();
    assert_eq!(secret(&file), "");
    let include = good(&format!("include = \"no-such-directory/*.toml\"{SMALLEST}")).warnings.join("\n");
    assert!(include.contains("no file has such a name yet"), "{include}");
    check(&format!("include = \"{}\"{SMALLEST}", directory.path().display()), &[("F005", 1, "include", "/*.toml")]);
}
