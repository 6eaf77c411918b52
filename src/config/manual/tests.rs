use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::{Default, markdown, schema, sections};
use crate::config::example_tests::{EXAMPLE, Files, apply, change, is_off, switch_on};
use crate::config::{secret, tables};

struct Schema(boon::Schemas, boon::SchemaIndex);

impl Schema {
    /// Compiling holds it against the schema of schemas.
    fn new() -> Self {
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.set_default_draft(boon::Draft::V2020_12);
        compiler.add_resource("bearerd.schema.json", schema()).unwrap();
        let index = compiler.compile("bearerd.schema.json", &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Self(schemas, index)
    }

    /// What is wrong with a configuration; nothing is said of what is no TOML.
    fn check(&self, text: &str) -> Result<(), String> {
        let value: Value = toml::from_str(text).map_err(|error| error.to_string())?;
        self.0.validate(&value, self.1).map_err(|error| format!("{error:#}"))
    }
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_key_that_is_obeyed_has_one_row_and_no_other_key_has_one() {
    let mut checked = 0;
    for section in sections() {
        let rows: Vec<_> = section.rows.iter().copied().flatten().map(|row| row.name).collect();
        for key in section.keys.obeyed {
            let found = rows.iter().filter(|row| *row == key).count();
            assert_eq!(found, 1, "{} of {} in src/config/manual", key, section.keys.name);
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
    let sections: Vec<_> = sections().collect();
    for list in sections.iter().flat_map(|section| section.rows) {
        let users = sections.iter().filter(|section| section.rows.iter().any(|rows| std::ptr::eq(*rows, *list)));
        let known: BTreeSet<_> = users.flat_map(|user| user.keys.obeyed.iter().chain(user.keys.later)).collect();
        for row in *list {
            assert!(known.contains(&row.name), "{} is a key of no reader", row.name);
        }
    }
    let names: BTreeSet<_> = sections.iter().map(|section| section.keys.name).collect();
    for (path, keys) in tables::ALL {
        assert!(names.contains(keys.name), "{path} has no section");
    }
    assert!(names.contains(secret::KEYS.name));
}

#[test]
fn every_section_is_referred_to_and_every_reference_leads_somewhere() {
    let schema = schema();
    let text = schema.to_string();
    for id in schema["$defs"].as_object().unwrap().keys() {
        // The only way to the forms of names is by the tables that have them.
        assert!(text.contains(&format!("\"#/$defs/{id}\"")), "nothing refers to {id}");
    }
    let document = markdown();
    let anchors: BTreeSet<_> = document.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let links: BTreeSet<_> = document.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(links.len() > 15 && links.is_subset(&anchors), "{:?}", links.difference(&anchors));
}

#[test]
fn the_reference_in_the_repository_is_current() {
    let text = text_of("docs/configuration.md");
    assert!(
        text == markdown(),
        "docs/configuration.md is stale; run: bearerd schema --markdown >docs/configuration.md"
    );
}

#[test]
fn every_configuration_that_a_reader_may_copy_fits_the_schema() {
    let schema = Schema::new();
    let mut checked = 0;
    let mut check = |name: &str, text: &str| {
        schema.check(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        checked += 1;
    };
    check("config.example.toml", EXAMPLE);
    check("all of config.example.toml", &switch_on(|_| true));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["examples", "src/vendors", "deploy/systemd"] {
        for file in std::fs::read_dir(root.join(directory)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                check(&path.to_string_lossy(), &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    for document in ["README.md"] {
        for block in text_of(document).split("\n```toml\n").skip(1) {
            check(document, block.split("\n```").next().unwrap());
        }
    }
    check("the sidecar", &text_of("deploy/kubernetes/sidecar/bearerd.toml"));
    assert!(checked >= 25, "{checked}");
}

#[test]
fn what_is_wrong_does_not_fit_the_schema() {
    const ROUTE: &str = "[routes.api]\nupstream = \"https://api.example.com\"\n";
    let schema = Schema::new();
    for right in [ROUTE, "include = \"conf.d/*.toml\"", "[credentials.api]\nissuer = \"https://a\""] {
        assert_eq!(schema.check(right), Ok(()), "{right}");
    }
    for wrong in [
        "",
        "[log]\nlevel = \"info\"",
        "routes = {}\nlistne = \"localhost:1\"",
        "listen = 8080\n[routes.api]\nupstream = \"https://a\"",
        "listen = \"8080\"\n[routes.api]\nupstream = \"https://a\"",
        "workers = 0\n[routes.api]\nupstream = \"https://a\"",
        "[routes.\"a b\"]\nupstream = \"https://a\"",
        "[routes.api]",
        "[routes.api]\nupstream = \"a.example\"",
        "[routes.api]\nupstream = \"https://a\"\npath = \"items\"",
        "[routes.api]\nupstream = \"https://a\"\nupgrade = []",
    ] {
        assert!(schema.check(wrong).is_err(), "{wrong}");
    }
    for wrong in [
        "[credentials.api]\nclient_id = \"a\"",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nissuer = \"https://a\"",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nclient_secret = { fiel = \"a\" }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nclient_secret = { file = \"a\", env = \"B\" }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nclient_secret = 7",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\ngrant_type = \"implicit\"",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nmethod = \"post\"",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nencoding = \"xml\"",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nrefresh = { wait = \"10\" }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nrefresh = { early = \"20\" }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nresponse = { access_token = \"$.token\" }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nrejection = { status = [200] }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nrejection = { body = [{ status = 403 }] }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\npermanent = [{}]",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\ntls = { certificate = \"a.pem\" }",
        "[credentials.api]\ntoken_endpoint = \"https://a\"\nparams = { a = { step = \"b\" } }",
        "[callers]\nfrom = \"example.com\"",
        "[timeouts]\nconnect = \"off\"",
        "[timeouts]\nkeep_alive = 60",
        "[limits]\nhead = 32768",
        "[limits]\nconnections = \"many\"",
        "[log]\nlevel = \"verbose\"",
        "[log]\naccess = 1.5",
        "[log]\naccess = \"yes\"",
    ] {
        assert!(schema.check(&format!("{ROUTE}{wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn the_defaults_of_the_manual_are_those_of_the_example() {
    let example: Value = toml::from_str(EXAMPLE).unwrap();
    let places = [
        ("top", ""),
        ("route", "/routes/api"),
        ("credential", "/credentials/api"),
        ("response", "/credentials/api/response"),
        ("refresh", "/credentials/api/refresh"),
        ("rejection", "/credentials/api/rejection"),
        ("inject", "/credentials/api/inject"),
        ("callers", "/callers"),
        ("admin", "/admin"),
        ("timeouts", "/timeouts"),
        ("limits", "/limits"),
        ("log", "/log"),
    ];
    let mut checked = 0;
    for (id, pointer) in places {
        let section = sections().find(|section| section.id == id).unwrap();
        for row in section.obeyed() {
            let shown = example.pointer(&format!("{pointer}/{}", row.name));
            match (&row.default, shown) {
                (Default::Is(text), shown) => {
                    let told = row.default.value().unwrap_or_else(|| panic!("{}: {text} is no TOML", row.name));
                    assert_eq!(Some(&told), shown, "{id}.{}", row.name);
                    checked += 1;
                }
                (Default::Required, shown) => assert!(shown.is_some(), "{id}.{}", row.name),
                (Default::None | Default::Says(_), _) => {}
            }
        }
    }
    assert!(checked > 30, "{checked}");
    assert!(EXAMPLE.lines().any(is_off));
}

proptest! {
    #[test]
    fn what_the_loader_accepts_fits_the_schema(
        changes in prop::collection::vec((any::<usize>(), change()), 1..4),
        everything: bool,
    ) {
        let text = if everything { switch_on(|_| true) } else { EXAMPLE.to_owned() };
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for (at, change) in changes {
            apply(&mut lines, at, change);
        }
        let text = lines.join("\n");
        if FILES.with(|files| files.load(&text)).is_ok() {
            prop_assert_eq!(SCHEMA.with(|schema| schema.check(&text)), Ok(()), "{}", text);
        }
    }

    #[test]
    fn what_the_loader_takes_for_a_time_or_a_size_fits_the_schema(text in "[ .0-9]{0,4}[ 0-9.+a-zµMKGTB%iI]{1,6}") {
        let check = |key: &str| {
            let text = format!("[routes.api]\nupstream = \"https://a.example\"\ncredential = \"none\"\n{key} = \"{text}\"");
            match crate::config::load_str(&text, Path::new("bearerd.toml")) {
                Ok(_) => SCHEMA.with(|schema| schema.check(&text)),
                Err(_) => Ok(()),
            }
        };
        prop_assert_eq!(check("timeouts.connect"), Ok(()));
        prop_assert_eq!(check("[limits]\nreplay_memory"), Ok(()));
        prop_assert_eq!(check("[limits]\nqueue"), Ok(()));
    }
}

thread_local! {
    static SCHEMA: Schema = Schema::new();
    static FILES: Files = Files::new();
}
