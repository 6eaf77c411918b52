use std::time::Duration;

use super::super::{
    Environment, Given, Mistakes, Place as Written, Settings as Whole, Sources, load, load_text, overlay,
};
use super::*;
use crate::secret::SecretSource;
use crate::store::settings::{Server, Topology};
use crate::token::settings::Budget;

const KEY: &str = "0123456789abcdef0123456789abcdef";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A configuration with these lines at the top, and these in `[store]`, of which the first is line 9.
    fn load(&self, top: &str, store: &str) -> Result<Whole, Mistakes> {
        let text = format!(
            "{top}\n[routes.api]\nupstream = \"https://api.example.com\"\n[credentials.api]\n\
             token_endpoint = \"https://login.example.com/t\"\n\n\n[store]\n{store}"
        );
        let path = self.0.path().join("bearerd.toml");
        let environment = Environment::new([("SEAL_KEY".into(), KEY.into()), ("SHORT".into(), "short".into())]);
        load_text(&text, &path, &Sources { file: Some(path.clone()), environment, ..Sources::default() })
    }

    fn good(&self, store: &str) -> Option<Settings> {
        self.load("", store).unwrap_or_else(|mistakes| panic!("{store}\n{mistakes}")).store
    }

    /// Each expected mistake as (code, line, key, phrase); no others may come, and no value is shown.
    #[track_caller]
    fn check(&self, store: &str, wanted: &[(&str, usize, &str, &str)]) {
        let mistakes = match self.load("", store) {
            Ok(_) => panic!("accepted:\n{store}"),
            Err(mistakes) => mistakes,
        };
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
        assert_eq!(mistakes.count(), wanted.len(), "{store}\n{mistakes}");
        for (mistake, (code, line, key, phrase)) in mistakes.iter().zip(wanted) {
            let Written::File { line: found, .. } = mistake.place else { panic!("{mistake}") };
            assert_eq!((mistake.reason.code(), found, &*mistake.key), (*code, *line, *key), "{mistakes}");
            assert!(mistake.message.contains(phrase), "{phrase:?} is not in: {mistake}");
        }
    }
}

fn with_key(lines: &str) -> String {
    format!("seal_key = {{ env = \"SEAL_KEY\" }}\n{lines}")
}

fn redis(settings: Option<Settings>) -> crate::store::settings::Redis {
    match settings.unwrap().place {
        Place::Redis(redis) => redis,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_store_tokens_are_in_memory() {
    let files = Files::new();
    assert_eq!(files.good(""), None);
    assert_eq!(files.good("kind = \"memory\""), None);
}

#[test]
fn files_are_below_the_state_directory_or_where_it_is_written() {
    let files = Files::new();
    let file = with_key("kind = \"file\"\n");
    let settings = files.good(&format!("{file}directory = \"tokens\"\ntimeout = \"300ms\"")).unwrap();
    let wanted = Settings {
        place: Place::File { directory: files.0.path().join("tokens") },
        seal_key: SecretSource::Env { name: "SEAL_KEY".to_owned(), value: crate::secret::Secret::new(KEY) },
        old_seal_key: None,
        timeout: Duration::from_millis(300),
    };
    assert_eq!(settings, wanted);
    let settings = files.load("state_directory = \".\"", &file).unwrap();
    assert!(settings.secret_variables.contains("SEAL_KEY"));
    let Place::File { directory } = settings.store.unwrap().place else { panic!() };
    assert_eq!(directory, files.0.path().join("./store"));
    files.check(&file, &[("F006", 8, "store.directory", "directory = \"/var/lib/bearerd/store\"")]);
    std::fs::write(files.0.path().join("a file"), "").unwrap();
    for (directory, code, phrase) in
        [("a file", "F011", "is no directory"), ("a file/b", "F011", "cannot be used"), ("", "F005", "empty")]
    {
        let text = format!("{file}directory = \"{directory}\"");
        files.check(&text, &[(code, 11, "store.directory", phrase)]);
    }
}

#[test]
fn the_seal_key_is_required_long_and_readable() {
    let files = Files::new();
    let file = "kind = \"file\"\ndirectory = \"d\"\n";
    let check = |line: &str, code, key, phrase| {
        files.check(&format!("{file}{line}"), &[(code, 11, key, phrase)]);
    };
    files.check(file, &[("F006", 8, "store.seal_key", "head -c 32 /dev/urandom | base64; then: seal_key = { file")]);
    check("seal_key = \"hunter2\"", "F005", "store.seal_key", "must have 32 characters");
    check("seal_key = \"hunter2\"", "F005", "store.seal_key", "head -c 32 /dev/urandom | base64");
    check("seal_key = { env = \"SHORT\" }", "F005", "store.seal_key", "32 characters");
    check("seal_key = { env = \"NONE\" }", "F010", "store.seal_key", "is not set");
    check("seal_key = { file = \"none\" }", "F010", "store.seal_key", "none");
    check("seal_key = 7", "F005", "store.seal_key", "must be a string");
    let both = |old: &str| format!("{file}{}old_seal_key = \"{old}\"", with_key(""));
    files.check(&both("hunter2"), &[("F005", 12, "store.old_seal_key", "32 characters")]);
    files.check(&both(KEY), &[("F007", 12, "store.old_seal_key", "is the same as seal_key")]);
    let settings = files.good(&both(&KEY.replace('0', "x"))).unwrap();
    assert!(settings.old_seal_key.is_some());
    let file_of_key = files.0.path().join("key");
    std::fs::write(&file_of_key, format!("{KEY}\n")).unwrap();
    let settings = files.good(&format!("{file}seal_key = {{ file = \"key\" }}")).unwrap();
    assert_eq!(settings.seal_key, SecretSource::File(file_of_key));
}

#[test]
fn a_redis_is_one_server_or_sentinels_or_a_cluster() {
    let files = Files::new();
    let good = |lines: &str| redis(files.good(&with_key(&format!("kind = \"redis\"\n{lines}"))));
    let tcp = |host: &str, port| Server::Tcp(host.to_owned(), port);
    let one = good("url = \"redis://localhost/5\"\npassword = \"hunter2\"");
    assert_eq!((one.servers, one.topology, one.database), (vec![tcp("localhost", 6379)], Topology::Standalone, 5));
    assert!(one.tls.is_none() && one.password.is_some() && one.username.is_none());
    let unix = good("url = \"unix:///run/redis.sock\"\nusername = \"u\"\npassword = \"hunter2\"");
    assert_eq!(unix.servers, [Server::Unix("/run/redis.sock".into())]);
    let sentinel = good(
        "url = [\"redis://a\", \"redis://b:1\"]\nsentinel = \"m\"\nallow_plain_tcp = true\n\
         sentinel_username = \"u\"\nsentinel_password = \"hunter2\"",
    );
    assert_eq!(sentinel.servers, [tcp("a", 26379), tcp("b", 1)]);
    assert_eq!(sentinel.topology, Topology::Sentinel { master: "m".to_owned() });
    assert!(sentinel.sentinel_username.is_some() && sentinel.sentinel_password.is_some());
    let cluster =
        good("url = [\"rediss://a\", \"rediss://b\"]\ncluster = true\npassword = \"hunter2\"\ntls.server_name = \"r\"");
    assert_eq!(cluster.topology, Topology::Cluster);
    assert_eq!(cluster.tls.unwrap().server_name.as_deref(), Some("r"));
}

#[test]
fn what_contradicts_each_other_is_told_with_its_cure() {
    let files = Files::new();
    let check = |lines: &str, code, line, key, phrase| {
        files.check(&with_key(&format!("kind = \"redis\"\n{lines}")), &[(code, line, key, phrase)]);
    };
    check("", "F006", 8, "store.url", "url = \"redis://localhost:6379/0\"");
    check("url = []", "F005", 11, "store.url", "one server");
    check("url = 6379", "F005", 11, "store.url", "must be a string");
    check("url = \"redis://u:hunter2@localhost\"", "F005", 11, "store.url", "password = { file");
    check("url = [\"redis://a\", \"redis://b\"]", "F007", 11, "store.url", "sentinel = \"MASTER\" or cluster = true");
    let cluster = "\ncluster = true";
    check(&format!("url = [\"redis://a\", \"rediss://b\"]{cluster}"), "F007", 11, "store.url", "TLS is for all");
    check(&format!("url = \"redis://a/1\"{cluster}"), "F007", 11, "store.url", "database");
    check(&format!("url = \"unix:///a\"{cluster}"), "F007", 11, "store.url", "Unix socket");
    check("url = [\"redis://a/1\", \"redis://a/2\"]\nsentinel = \"m\"", "F007", 11, "store.url", "different databases");
    check(&format!("url = \"redis://a\"\nsentinel = \"m\"{cluster}"), "F007", 12, "store.sentinel", "not for clusters");
    check("url = \"redis://a\"\nsentinel = \"\"", "F005", 12, "store.sentinel", "empty");
    check("url = \"redis://localhost\"\nusername = \"u\"", "F006", 8, "store.password", "beside username");
    check("url = \"redis://localhost\"\npassword = \"\"", "F005", 12, "store.password", "empty");
    check(
        "url = \"redis://localhost\"\nsentinel_password = \"hunter2\"",
        "F007",
        12,
        "store.sentinel_password",
        "sentinel = ",
    );
    check("url = \"redis://localhost\"\ntls.server_name = \"a\"", "F007", 12, "store.tls", "write rediss://");
    check("url = \"unix:///a\"\ntls = {}", "F007", 12, "store.tls", "write rediss://");
    check("url = \"redis://a\"\ntimeout = \"1m\"", "F005", 12, "store.timeout", "at most 10s");
    check("url = \"redis://a\"\ntimeout = \"0s\"", "F005", 12, "store.timeout", "more than zero");
    check("url = \"rediss://a\"\ntls.ca = \"none.pem\"", "F011", 12, "store.tls.ca", "none.pem");
}

#[test]
fn a_password_over_plain_tcp_beyond_loopback_must_be_allowed() {
    let files = Files::new();
    let text = |url: &str, more: &str| with_key(&format!("kind = \"redis\"\nurl = \"{url}\"\n{more}"));
    let password = "password = \"hunter2\"\n";
    let wanted = [("F008", 11, "store.url", "what is stored is sealed, the password is not")];
    files.check(&text("redis://cache:6379", password), &wanted);
    files.check(&text("redis://10.0.0.1", password), &[("F008", 11, "store.url", "allow_plain_tcp = true")]);
    for (url, more) in [
        ("redis://cache", ""),
        ("redis://localhost", password),
        ("redis://[::1]", password),
        ("rediss://cache", password),
        ("unix:///run/r", password),
        ("redis://cache", "password = \"hunter2\"\nallow_plain_tcp = true\n"),
    ] {
        assert!(files.good(&text(url, more)).is_some(), "{url}");
    }
}

#[test]
fn keys_of_another_kind_are_not_passed_over() {
    let files = Files::new();
    let text = with_key("kind = \"file\"\ndirectory = \"d\"\nurl = \"redis://a\"\npassword = \"hunter2\"");
    let wanted = "belongs to kind = \"redis\", and here kind is \"file\"";
    files.check(&text, &[("F007", 12, "store.url", wanted), ("F007", 13, "store.password", wanted)]);
    let text = with_key("kind = \"redis\"\nurl = \"redis://a\"\ndirectory = \"d\"");
    files.check(&text, &[("F007", 12, "store.directory", "belongs to kind = \"file\", and here kind is \"redis\"")]);
    let text = with_key("kind = \"memory\"\ntimeout = \"1s\"");
    let wanted = "here kind is \"memory\"";
    files.check(&text, &[("F007", 9, "store.seal_key", wanted), ("F007", 11, "store.timeout", wanted)]);
}

#[test]
fn a_kind_that_is_missing_or_unknown_is_told_by_what_is_there() {
    let files = Files::new();
    for (lines, kind) in [
        ("url = \"redis://a\"", "redis"),
        ("password = \"hunter2\"", "redis"),
        ("directory = \"d\"", "file"),
        ("timeout = \"1s\"", "file"),
    ] {
        files.check(&with_key(lines), &[("F006", 8, "store.kind", &format!("kind = \"{kind}\""))]);
    }
    files.check("kind = \"rediss\"", &[("F005", 9, "store.kind", "did you mean \"redis\"?")]);
    files.check("kind = \"disk\"", &[("F005", 9, "store.kind", "\"memory\", \"file\" or \"redis\"")]);
}

#[test]
fn words_of_other_tools_are_understood() {
    let files = Files::new();
    let mut looped = 0;
    for (key, phrase) in [
        ("address", "\"url\""),
        ("host", "\"url\""),
        ("addr", "\"url\""),
        ("redis_url", "\"url\""),
        ("servers", "\"url\""),
        ("encryption_key", "\"seal_key\""),
        ("path", "\"directory\""),
        ("type", "\"kind\""),
        ("backend", "\"kind\""),
        ("user", "\"username\""),
        ("master_name", "\"sentinel\""),
        ("database", "end of the url"),
        ("insecure_skip_verify", "no switch"),
    ] {
        files.check(&format!("{key} = \"hunter2\""), &[("F003", 9, &format!("store.{key}"), phrase)]);
        looped += 1;
    }
    assert_eq!(looped, 13);
    let mistakes = files.load("redis = {}", "").unwrap_err().to_string();
    assert!(mistakes.contains("F003 redis: unknown key; did you mean \"store\"?"), "{mistakes}");
}

#[test]
fn a_build_without_redis_says_so() {
    let table = super::super::document::parse("kind = \"redis\"", "b.toml").ok().unwrap();
    let environment = Environment::default();
    let whole = super::super::document::whole(Path::new("b.toml"));
    let context = super::super::Context::new(&environment, PathBuf::new(), whole.clone(), false);
    let reader = Reader::new(&context, Some(&table), whole, "store", &KEYS);
    check_build(&reader, true);
    check_build(&reader, false);
    drop(reader);
    let (mistakes, _) = context.finish();
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].message.contains("built without the feature \"redis\""), "{}", mistakes[0]);
}

#[test]
fn a_sidecar_needs_no_file() {
    let flag = |name: &str, value: &str| Given {
        setting: overlay::SETTINGS.iter().find(|setting| setting.flag == name).unwrap(),
        values: vec![value.to_owned()],
    };
    let base = [flag("upstream", "https://api.example.com"), flag("token-endpoint", "https://login.example.com/t")];
    let load = |flags: &[Given], variables: &[(&str, &str)]| {
        let environment = Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        load(&Sources { flags: [&base, flags].concat(), environment, ..Sources::default() })
    };
    let store = [flag("store", "redis"), flag("store-url", "rediss://cache:6379/0")];
    let variables = [("BEARERD_SEAL_KEY", KEY), ("BEARERD_STORE_PASSWORD", "hunter2")];
    let settings = load(&store, &variables).unwrap();
    assert!(settings.secret_variables.contains("BEARERD_SEAL_KEY"));
    assert!(settings.secret_variables.contains("BEARERD_STORE_PASSWORD"));
    let redis = redis(settings.store);
    assert!(redis.password.is_some() && redis.tls.is_some());
    let mistakes = load(&store, &[]).unwrap_err().to_string();
    assert!(mistakes.contains("--seal-key-file FILE (or BEARERD_SEAL_KEY)"), "{mistakes}");
    let mistakes = load(&store[1..], &variables).unwrap_err().to_string();
    assert!(mistakes.contains("--store redis (or BEARERD_STORE)"), "{mistakes}");
    let mistakes = load(&store[..1], &variables).unwrap_err().to_string();
    assert!(mistakes.contains("--store-url redis://localhost:6379/0 (or BEARERD_STORE_URL)"), "{mistakes}");
    let twice = [variables[0], ("BEARERD_SEAL_KEY_FILE", "/none")];
    let mistakes = load(&store, &twice).unwrap_err().to_string();
    assert!(mistakes.contains("BEARERD_SEAL_KEY: F007: stands beside BEARERD_SEAL_KEY_FILE"), "{mistakes}");
}

#[test]
fn a_budget_is_so_many_requests_in_so_long() {
    let files = Files::new();
    let budget = |text: &str| {
        let budget = format!("[credentials.api.budget]\n{text}");
        files.load("", &format!("\n{budget}")).map(|settings| settings.credentials[0].token.budget)
    };
    let wanted = Budget { requests: 100, per: Duration::from_secs(24 * 3600) };
    assert_eq!(budget("requests = 100\nper = \"1d\"").unwrap(), Some(wanted));
    assert_eq!(files.load("", "").unwrap().credentials[0].token.budget, None);
    for (text, key, phrase) in [
        ("requests = 100", "per", "is required"),
        ("per = \"1d\"", "requests", "is required"),
        ("requests = 1\nper = \"1d\"", "requests", "from 2 to 4294967295"),
        ("requests = \"2\"\nper = \"1d\"", "requests", "must be an integer"),
        ("requests = 2\nper = \"59s\"", "per", "from \"1m\" to \"366d\""),
        ("requests = 2\nper = \"367d\"", "per", "from \"1m\" to \"366d\""),
        ("requests = 2\nper = 60", "per", "\"60s\""),
        ("requests = 2\nper = \"day\"", "per", "a time with a unit"),
    ] {
        let mistakes = budget(text).unwrap_err().to_string();
        let wanted = format!("credentials.api.budget.{key}: ");
        assert!(mistakes.contains(&wanted) && mistakes.contains(phrase), "{text}: {mistakes}");
        assert!(mistakes.contains("1 mistake;"), "{mistakes}");
    }
}
