//! Every place that a secret may come from, and what is said of those that are none.

use std::path::Path;

use super::super::{Environment, Settings, Sources, load_text};
use super::*;
use crate::oauth::settings::Param;

/// A configuration whose credential has these params, and a file `key.json` beside it.
fn load(directory: &Path, params: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    std::fs::write(directory.join("key.json"), r#"{"private_key":"hunter2","id":7}"#).unwrap();
    let text = format!(
        "[routes.a]\nupstream = \"https://a.example\"\n[credentials.a]\ntoken_endpoint = \"https://a.example/t\"\n\
         params = {{ {params} }}\n"
    );
    let environment = Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    let path = directory.join("b.toml");
    let sources = Sources { file: Some(path.clone()), environment, ..Sources::default() };
    load_text(&text, &path, &sources).map_err(|mistakes| mistakes.to_string())
}

fn secret_of(settings: &Settings, index: usize) -> SecretSource {
    let Some((_, Param::Text(source))) = settings.credentials[0].oauth.params.get(index) else {
        panic!("no such param")
    };
    source.clone()
}

#[test]
fn every_place_gives_its_secret_and_a_pointer_gives_a_member_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [
        ("PATH", "/usr/bin:/bin"),
        ("JSON", "{\"a\":[\"hunter3\"]}"),
        ("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap()),
    ];
    let check = |reference: &str, wanted: &str| {
        let settings = load(directory.path(), &format!("x = {reference}"), &variables).unwrap();
        assert_eq!(secret_of(&settings, 0).read_now().unwrap().expose(), wanted, "{reference}");
    };
    check("{ file = \"key.json\", pointer = \"/private_key\" }", "hunter2");
    check("{ systemd = \"key.json\", pointer = \"/id\" }", "7");
    check("{ env = \"JSON\", pointer = \"/a/0\" }", "hunter3");
    check("{ command = [\"printf\", \"%s\", \"a b;$HOME\"], timeout = \"30s\" }", "a b;$HOME");
    check("{ command = [\"echo\", '{\"k\":\"v\"}'], pointer = \"/k\" }", "v");
    // A program with a slash is relative to the file, as every path is.
    std::os::unix::fs::symlink("/bin/echo", directory.path().join("say")).unwrap();
    check("{ command = [\"./say\", \"hi\"] }", "hi");
}

#[test]
fn a_command_is_run_once_for_a_whole_configuration_and_sees_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let script = "env > seen.$$; echo '{\"id\":\"i\",\"secret\":\"s\"}'";
    std::fs::write(directory.path().join("script"), format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n"))
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path().join("script"), mode).unwrap();
    let variables = [("PATH", "/usr/bin:/bin"), ("HOME", "/h"), ("MINE", "hunter4"), ("BEARERD_PASSWORD", "hunter5")];
    let member = |name: &str| format!("{{ command = [\"./script\"], pointer = \"/{name}\" }}");
    let params = format!("a = {}, b = {}, c = {{ env = \"MINE\" }}", member("id"), member("secret"));
    let settings = load(
        directory.path(),
        &format!("{params} }}\nusername = \"u\"\nheaders = {{ x-a = {}", member("id")),
        &variables,
    );
    let settings = settings.unwrap();
    assert_eq!(secret_of(&settings, 1).read_now().unwrap().expose(), "s");
    let files = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let seen: Vec<_> = files.filter(|path| path.to_string_lossy().contains("seen.")).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let seen = std::fs::read_to_string(&seen[0]).unwrap();
    assert!(seen.contains("HOME=/h") && !seen.contains("hunter"), "{seen}");
}

#[test]
fn what_is_no_reference_is_said_with_what_would_be_right() {
    let directory = tempfile::tempdir().unwrap();
    let check = |reference: &str, wanted: &str| {
        let variables = [("PATH", "/usr/bin:/bin"), ("E", "x")];
        let mistakes = load(directory.path(), &format!("x = {reference}"), &variables).expect_err(reference);
        assert!(mistakes.contains(wanted) && !mistakes.contains("hunter"), "{wanted:?}: {mistakes}");
        assert!(mistakes.contains("\n1 mistake;"), "{mistakes}");
    };
    check("{}", "F005 credentials.a.params.x: must be one of: a string, { file =");
    check("{ pointer = \"/a\" }", "F005 credentials.a.params.x: must be one of");
    check("{ fil = \"x\" }", "F003 credentials.a.params.x.fil: unknown key; did you mean \"file\"?");
    check(
        "{ file = \"x\", env = \"E\" }",
        "F007 credentials.a.params.x: comes from one place alone, but file and env are",
    );
    check("{ file = \"\" }", "F005 credentials.a.params.x.file: must not be empty");
    check("{ env = \"E\", timeout = \"1s\" }", "F007 credentials.a.params.x.timeout: is for commands alone");
    check("{ command = \"vault read x\" }", "F005 credentials.a.params.x.command: must be a list");
    check("{ command = [] }", "F005 credentials.a.params.x.command: must be a list of strings");
    check("{ command = [\"echo\", 1] }", "F005 credentials.a.params.x.command: must be a list of strings");
    check("{ command = [\"\"] }", "F005 credentials.a.params.x.command: must begin with a program");
    check(
        "{ command = [\"echo\", \"x\"], timeout = 5 }",
        "F005 credentials.a.params.x.timeout: must be a string with a unit",
    );
    check(
        "{ command = [\"echo\", \"x\"], timeout = \"3m\" }",
        "F005 credentials.a.params.x.timeout: must be at most 2m",
    );
    check(
        "{ command = [\"no-such-program\", \"hunter6\"] }",
        "F010 credentials.a.params.x: the command no-such-program does not exist",
    );
    check(
        "{ command = [\"sh\", \"-c\", \"echo denied >&2; exit 4\"] }",
        "the command sh failed (exit status: 4) and said: \"denied\"",
    );
    check(
        "{ command = [\"sleep\", \"60\"], timeout = \"50ms\" }",
        "the command sleep did not end within 50ms and was killed",
    );
    check(
        "{ file = \"key.json\", pointer = \"private_key\" }",
        "pointer: must be a JSON Pointer, which begins with a slash: \"/private_key\"",
    );
    check("{ file = \"key.json\", pointer = \"/key\" }", "key.json has no /key; there are: private_key, id");
    check("{ env = \"E\", pointer = \"/key\" }", "the environment variable \"E\" is not JSON, which `pointer` needs");
}
