//! Holds `config.example.toml` against the code, and the loader against whatever that file may be turned into.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::document::{self, Node, Table, Value};
use super::{Environment, Settings, Sources, load_text, reader, tables};

pub(super) const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The keys that no default can stand for.
const SMALLEST: &str = r#"
[routes.api]
upstream = "https://api.example.com"
[credentials.api]
token_endpoint = "https://login.example.com/oauth/token"
client_id      = "my-client"
client_secret  = { file = "/run/secrets/client_secret" }
"#;

/// A directory with every file that the example names.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        for name in ["corp-ca.pem", "client-ca.pem", "client.pem", "server.pem"] {
            write(name, &certificate.cert.pem());
        }
        for name in ["client.key", "server.key", "dpop_key"] {
            write(name, &certificate.signing_key.serialize_pem());
        }
        write("client_secret", "hunter2\n");
        write("caller_key", "hunter5\n");
        write("api_key", "hunter3\n");
        write("refresh_token", "hunter6\n");
        write("jwt", "a.b.c\n");
        write("seal_key", "hunter7 hunter7 hunter7 hunter7 hunter7\n");
        write("old_seal_key", "hunter8 hunter8 hunter8 hunter8 hunter8\n");
        write("redis_password", "hunter9\n");
        Self(directory)
    }

    pub(super) fn load(&self, text: &str) -> Result<Settings, super::Mistakes> {
        let directory = self.0.path().to_str().unwrap();
        let text = text.replace("/run/secrets", directory).replace("/var/lib/bearerd", directory);
        let path = self.0.path().join("bearerd.toml");
        let variables = [("API_PASSWORD", "hunter4"), ("COMPANY", "Acme")];
        let environment = Environment::new(variables.map(|(name, value)| (name.into(), value.into())));
        let sources = Sources { file: Some(path.clone()), environment, ..Sources::default() };
        load_text(&text, &path, &sources)
    }

    /// All that the settings hold, as text.
    fn shown(&self, text: &str) -> String {
        format!("{:#?}", self.load(text).unwrap_or_else(|mistakes| panic!("{mistakes}")))
    }
}

/// Whether a line is a key or a table that is switched off.
pub(super) fn is_off(line: &str) -> bool {
    line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

pub(super) fn switch_on(wanted: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| {
        let is_wanted = is_off(line) && wanted(line);
        line.strip_prefix('#').filter(|_| is_wanted).unwrap_or(line).to_owned() + "\n"
    };
    EXAMPLE.lines().map(line).collect()
}

#[test]
fn every_default_in_the_example_is_the_real_one() {
    let files = Files::new();
    assert_eq!(files.shown(EXAMPLE), files.shown(SMALLEST));
    let defaults: Vec<_> = EXAMPLE.lines().filter(|line| is_off(line) && line.contains("(default")).collect();
    assert!(defaults.len() >= 4, "{defaults:?}");
    for line in defaults {
        assert_eq!(files.shown(&switch_on(|other| other == line)), files.shown(SMALLEST), "{line}");
    }
}

#[test]
fn the_example_shows_every_key_that_is_obeyed() {
    let files = Files::new();
    let everything = switch_on(|_| true);
    files.load(&everything).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let table = document::parse(&everything, "config.example.toml").ok().unwrap();
    let mut shown = BTreeSet::new();
    collect(&table, "", &mut shown);
    // A list of tables that is empty by default cannot be shown twice.
    shown.extend(["status", "contains"].map(|key| format!("credentials.*.rejection.body.{key}")));
    assert!(EXAMPLE.contains("[{ status = 403, contains = "));
    // Nor can places of which only one can be chosen.
    let places = ["response.access_token_header", "response.access_token_cookie", "inject.cookie", "inject.query"];
    for place in places {
        assert!(EXAMPLE.contains(&format!("\n# {} = ", place.split('.').next_back().unwrap())), "{place}");
        shown.insert(format!("credentials.*.{place}"));
    }
    // Nor what another kind of store has.
    assert!(EXAMPLE.contains("\n# directory = "));
    shown.insert("store.directory".to_owned());
    for (path, keys) in tables::ALL {
        for key in keys.obeyed {
            assert!(shown.contains(&reader::dotted(path, key)), "{path}.{key} is not shown");
        }
    }
}

#[test]
fn every_key_that_is_listed_as_obeyed_is_read() {
    let text = switch_on(|_| true).replace("body = []", "body = [{ status = 403, contains = \"x\" }]");
    reader::READ.with_borrow_mut(BTreeSet::clear);
    Files::new().load(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    reader::READ.with_borrow(|read| {
        for (path, keys) in tables::ALL {
            for key in keys.obeyed {
                assert!(read.contains(&(keys.name, (*key).to_owned())), "{path}.{key} is listed but not read");
            }
        }
    });
}

/// The dotted paths of a document, with `*` for the names of routes and credentials.
fn collect(table: &Table, path: &str, into: &mut BTreeSet<String>) {
    for entry in &table.entries {
        let name = if matches!(path, "routes" | "credentials") { "*" } else { &entry.key };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        collect_node(&entry.node, &path, into);
        into.insert(path);
    }
}

fn collect_node(node: &Node, path: &str, into: &mut BTreeSet<String>) {
    match &node.value {
        Value::Table(table) => collect(table, path, into),
        Value::List(items) => items.iter().for_each(|item| collect_node(item, path, into)),
        _ => {}
    }
}

/// A change to one line of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Remove,
    Double,
    Swap(usize),
    Value(String),
    Cut(usize),
    Insert(usize, String),
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let values =
        ["1", "-1", "\"\"", "\"off\"", "[]", "{}", "[{}]", "1979-05-27", "nan", "true", "\"\u{e4}:99999\"", "\"%\""];
    prop_oneof![
        Just(Change::Remove),
        Just(Change::Double),
        any::<usize>().prop_map(Change::Swap),
        prop::sample::select(values.to_vec()).prop_map(|value| Change::Value(value.to_owned())),
        "\"\\PC*\"".prop_map(Change::Value),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), "\\PC{0,3}").prop_map(|(at, text)| Change::Insert(at, text)),
    ]
}

pub(super) fn apply(lines: &mut Vec<String>, at: usize, change: Change) {
    let at = at % lines.len();
    let line = lines[at].clone();
    let boundary = |at: usize| line.char_indices().map(|(index, _)| index).nth(at % (line.chars().count().max(1)));
    match change {
        Change::Remove => drop(lines.remove(at)),
        Change::Double => lines.insert(at, line),
        Change::Swap(with) => {
            let with = with % lines.len();
            lines.swap(at, with);
        }
        Change::Value(value) => {
            let key = line.split('=').next().unwrap_or_default();
            lines[at] = format!("{key} = {value}");
        }
        Change::Cut(to) => lines[at].truncate(boundary(to).unwrap_or(0)),
        Change::Insert(to, text) => lines[at].insert_str(boundary(to).unwrap_or(0), &text),
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
}

proptest! {
    #[test]
    fn no_change_to_the_example_makes_the_loader_panic(
        changes in prop::collection::vec((any::<usize>(), change()), 1..8),
        everything: bool,
    ) {
        let text = if everything { switch_on(|_| true) } else { EXAMPLE.to_owned() };
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for (at, change) in changes {
            apply(&mut lines, at, change);
        }
        let text = lines.join("\n");
        if let Err(mistakes) = super::load_str(&text, std::path::Path::new("bearerd.toml")) {
            prop_assert!(mistakes.count() > 0);
            prop_assert!(!mistakes.to_string().contains("a part of the configuration could not be read"), "{mistakes}");
        }
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC*") {
        let _ = super::load_str(&text, std::path::Path::new("bearerd.toml"));
    }
}
