//! What bearerd is made of (RELIABILITY G26): what `./ci audit` checks, and what must stand in the manifest.

use std::path::Path;
use std::process::Command;

use crate::figures::{Row, held};

pub(crate) fn prove() -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let forbidden = manifest["lints"]["rust"]["unsafe_code"].as_str() == Some("forbid");
    let h2 = versions_of("h2", &read("Cargo.lock").parse().unwrap());
    let is_late = |version: &Vec<u64>| *version >= vec![0, 4, 18];
    let unsafe_files = sources(&root.join("src")).into_iter().filter(|text| has_unsafe(text)).count();
    vec![
        run(
            root,
            "bans, licences, sources (cargo-deny)",
            &["cargo-deny", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"],
        ),
        run(root, "open advisories (audit/check.py)", &["python3", "audit/check.py"]),
        held(
            "unsafe_code = \"forbid\", files of src with unsafe code",
            format!("{forbidden}, {unsafe_files}"),
            "true, 0",
            forbidden && unsafe_files == 0,
        ),
        held("h2 in Cargo.lock", format!("{h2:?}"), "one, ≥ 0.4.18", h2.len() == 1 && h2.iter().all(is_late)),
    ]
}

fn run(root: &Path, what: &str, words: &[&str]) -> Row {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(root).output();
    let (is_well, told) = match &output {
        Ok(output) => (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => (false, error.to_string()),
    };
    if !is_well {
        eprintln!("{what}: {told}");
    }
    held(format!("{what}: {}", words.join(" ")), if is_well { "passed" } else { "failed" }, "passed", is_well)
}

/// The versions of a crate in a lock file, as numbers.
fn versions_of(name: &str, lock: &toml::Table) -> Vec<Vec<u64>> {
    let packages = lock["package"].as_array().unwrap();
    let named = packages.iter().filter(|package| package["name"].as_str() == Some(name));
    let version = |package: &toml::Value| {
        let parts = package["version"].as_str().unwrap().split('.');
        parts.map(|part| part.parse().unwrap_or(0)).collect()
    };
    named.map(version).collect()
}

/// The text of every file of a directory.
fn sources(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path)
            } else {
                vec![String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()]
            }
        })
        .collect()
}

fn has_unsafe(text: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.into_iter()
        .any(|line| ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe"].iter().any(|word| line.contains(word)))
}
