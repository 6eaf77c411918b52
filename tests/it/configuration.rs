//! A configuration mistake never starts half a proxy, and a whole sidecar needs no file.

use crate::support::{BINARY, finish};
use crate::support::{Setup, TokenEndpoint, Upstream, stage};

#[test]
fn every_mistake_is_listed_with_its_place_and_nothing_listens() {
    let (endpoint, _upstream, setup) = stage(300);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = taken.local_addr().unwrap();
    drop(taken);
    let text = format!(
        "listen = \"{free}\"\n\
         [routes.api]\n\
         upstraem = \"https://api.example.com\"\n\
         credential = \"other\"\n\
         [credentials.api]\n\
         token_endpoint = \"{}\"\n\
         client_id = \"svc\"\n\
         client_secret = {{ file = \"missing-secret\" }}\n\
         [credentials.api.refresh]\n\
         wait = \"ten seconds\"\n\
         [timeouts]\n\
         connect = 5\n",
        endpoint.url()
    );
    for verb in ["run", "check"] {
        let ended = setup.clone().file(&text, &[]).run_verb(verb).expect_code(78);
        let told = ended.told();
        for part in [
            "upstraem",
            "upstream",
            "bearerd.toml:3",
            "bearerd.toml:4",
            "missing-secret",
            "bearerd.toml:8",
            "bearerd.toml:10",
            "bearerd.toml:12",
            "F003",
            "F005",
            "F010",
        ] {
            assert!(told.contains(part), "{verb}: {part:?} is not in\n{told}");
        }
        assert!(std::net::TcpStream::connect(free).is_err());
    }
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn what_is_no_toml_is_shown_with_its_line() {
    let (_endpoint, _upstream, setup) = stage(300);
    let ended = setup.clone().file("[routes.api]\nupstream = https://x\n", &[]).run_verb("run").expect_code(78);
    assert!(ended.told().contains("F002") && ended.told().contains("bearerd.toml:2"), "{}", ended.told());
}

#[test]
fn a_key_of_a_later_version_is_not_yet_instead_of_ignored() {
    let (_endpoint, _upstream, setup) = stage(300);
    let later = "[routes.api.callers]\nclient_names = \"app.example.net\"";
    let ended = setup.section(later).run_verb("run").expect_code(78);
    assert!(ended.told().contains("F004") && ended.told().contains("not"), "{}", ended.told());
}

#[test]
fn wrong_usage_ends_with_two() {
    let (endpoint, _upstream, _) = stage(300);
    for arguments in [&["frobnicate"][..], &["run", "--no-such-flag"], &["run", "--client-secret", "x"]] {
        let mut command = std::process::Command::new(BINARY);
        command.args(arguments);
        finish(command, endpoint.canaries()).expect_code(2);
    }
}

#[test]
fn check_fetches_a_token_and_never_shows_it() {
    let (endpoint, upstream, setup) = stage(300);
    let ended = verb_with(&setup, &["check", "--fetch", "--probe", "/items"]).expect_code(0);
    assert_eq!((endpoint.count(), upstream.count()), (1, 1));
    assert!(ended.told().contains("300") || ended.told().contains("5m"), "the lifetime is not told: {}", ended.told());
    // `finish` has searched the output for the token.
    endpoint.always(crate::support::Reply::json(401, r#"{"error":"invalid_client"}"#));
    let ended = verb_with(&setup, &["check", "--fetch"]).expect_code(77);
    assert!(ended.told().contains("T021"), "{}", ended.told());
    endpoint.go_down();
    verb_with(&setup, &["check", "--fetch"]).expect_code(1);
    verb_with(&setup, &["check"]).expect_code(0);
}

#[test]
fn explain_knows_every_code_that_was_ever_met() {
    let (endpoint, _upstream, _) = stage(300);
    for code in ["T021", "U001", "C003", "F003", "t010"] {
        let mut command = std::process::Command::new(BINARY);
        command.args(["explain", code]);
        let ended = finish(command, endpoint.canaries()).expect_code(0);
        assert!(ended.stdout.contains(&code.to_uppercase()) && ended.stdout.len() > 100, "{}", ended.stdout);
    }
    let mut command = std::process::Command::new(BINARY);
    command.args(["explain", "X999"]);
    assert_ne!(finish(command, endpoint.canaries()).code, Some(0));
}

#[test]
fn a_whole_sidecar_needs_no_file() {
    let (endpoint, upstream, _) = stage(300);
    let setup = Setup::new(endpoint.canaries());
    let secret = setup.secret_file("secret", "flag-canary-secret\n");
    let bearerd = setup
        .arguments(&[
            "--upstream",
            &upstream.url(),
            "--token-endpoint",
            &endpoint.url(),
            "--client-id",
            "svc",
            "--client-secret-file",
            secret.to_str().unwrap(),
            "--audience",
            "https://api.example.com",
            "--scope",
            "items:read",
            "--param",
            "company_name=Example GmbH",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .start_ready();
    bearerd.get("/items").expect(200);
    let request = endpoint.requests().remove(0);
    assert_eq!(request.basic().as_deref(), Some("svc:flag-canary-secret"));
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("audience", "https://api.example.com"),
        ("scope", "items:read"),
        ("company_name", "Example GmbH"),
    ] {
        assert_eq!(request.field(name).as_deref(), Some(value), "{}", request.text());
    }
}

/// Everything by the environment, as a pod does it.
fn by_environment(endpoint: &TokenEndpoint, upstream: &Upstream) -> Setup {
    let setup = Setup::new(endpoint.canaries());
    let secret = setup.secret_file("secret", "env-canary-secret\n");
    setup
        .arguments(&[])
        .env("BEARERD_UPSTREAM", &upstream.url())
        .env("BEARERD_TOKEN_ENDPOINT", &endpoint.url())
        .env("BEARERD_CLIENT_ID", "svc")
        .env("BEARERD_CLIENT_SECRET_FILE", secret.to_str().unwrap())
        .env("BEARERD_LISTEN", "127.0.0.1:0")
        .env("BEARERD_ADMIN_LISTEN", "127.0.0.1:0")
}

#[test]
fn the_environment_is_enough() {
    let (endpoint, upstream, _) = stage(300);
    let bearerd = by_environment(&endpoint, &upstream).env("BEARERD_SCOPE", "from-env").start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.requests()[0].field("scope").as_deref(), Some("from-env"));
}

#[test]
fn what_kubernetes_puts_into_the_environment_is_not_ours() {
    let (endpoint, upstream, _) = stage(300);
    let bearerd = by_environment(&endpoint, &upstream)
        .env("BEARERD_PORT", "tcp://10.0.0.7:8080")
        .env("BEARERD_SERVICE_HOST", "10.0.0.7")
        .env("BEARERD_SERVICE_PORT", "8080")
        .env("BEARERD_PORT_8080_TCP", "tcp://10.0.0.7:8080")
        .env("BEARERD_PORT_8080_TCP_ADDR", "10.0.0.7")
        .start_ready();
    bearerd.get("/items").expect(200);
}

#[test]
fn an_unknown_variable_of_ours_is_a_mistake() {
    let (endpoint, upstream, _) = stage(300);
    let ended = by_environment(&endpoint, &upstream).env("BEARERD_UPSTRAEM", "x").run_verb("run").expect_code(78);
    assert!(ended.told().contains("BEARERD_UPSTRAEM"), "{}", ended.told());
}

#[test]
fn flags_win_over_the_environment() {
    let (endpoint, upstream, _) = stage(300);
    let setup = by_environment(&endpoint, &upstream).env("BEARERD_SCOPE", "from-env");
    let bearerd = setup.arguments(&["--scope", "from-flag"]).start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.requests()[0].field("scope").as_deref(), Some("from-flag"));
}

#[test]
fn the_environment_wins_over_the_file() {
    let (endpoint, _upstream, setup) = stage(300);
    let bearerd = setup.credential("scope = \"from-file\"").env("BEARERD_SCOPE", "from-env").start_ready();
    bearerd.get("/items").expect(200);
    assert_eq!(endpoint.requests()[0].field("scope").as_deref(), Some("from-env"));
}

#[test]
fn scope_left_out_is_not_sent_and_an_empty_one_is_sent_empty() {
    for (line, sent) in [("", None), ("scope = \"\"", Some("")), ("scope = \"a b\"", Some("a b"))] {
        let (endpoint, _upstream, setup) = stage(300);
        let _bearerd = setup.credential(line).start_ready();
        assert_eq!(endpoint.requests()[0].field("scope").as_deref(), sent, "{line:?}");
    }
}

#[test]
fn several_credentials_have_tokens_of_their_own() {
    let (endpoint, upstream, setup) = stage(300);
    let second = format!(
        "[routes.second]\npath = \"/second\"\nupstream = \"{}\"\ncredential = \"second\"\n\
         [credentials.second]\ntoken_endpoint = \"{}\"\nclient_id = \"svc\"\nclient_secret = \"cs/canary+client secret-9f31\"\n\
         audience = \"second\"",
        upstream.url(),
        endpoint.url()
    );
    let bearerd = setup.route("credential = \"api\"").section(&second).routes(&["api", "second"]).start_ready();
    bearerd.get("/items").expect(200);
    bearerd.get("/second/items").expect(200);
    let tokens: Vec<_> =
        upstream.requests().iter().map(|seen| seen.head.fields.first("authorization").unwrap().to_owned()).collect();
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(endpoint.count(), 2);
}

fn verb_with(setup: &Setup, words: &[&str]) -> crate::support::Ended {
    let (verb, rest) = words.split_first().unwrap();
    let mut command = setup.command(verb);
    command.args(rest);
    finish(command, setup.canaries())
}
