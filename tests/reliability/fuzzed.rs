//! The properties of `src/fuzzing.rs` over inputs changed at random (RELIABILITY G23). For hours there is `fuzz/`.

use std::path::Path;
use std::process::Command;

use crate::figures::{Row, held, row, secs};
use crate::setting::scaled;
use crate::support::now;

/// What RELIABILITY wants at least.
const TARGETS: usize = 7;

pub(crate) fn prove() -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let count = |directory: &str| std::fs::read_dir(root.join(directory)).map_or(0, Iterator::count);
    let (targets, corpora) = (count("fuzz/fuzz_targets"), count("fuzz/corpus"));
    let cases = scaled(5_000, 1_000_000);
    let start = now();
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--locked", "--quiet", "--lib", "fuzzing::"]).current_dir(root);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BEARERD_")) {
        command.env_remove(name);
    }
    let output = command.env("PROPTEST_CASES", cases.to_string()).output().expect("cargo starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let counted = |word: &str| -> usize {
        let results = said.lines().filter(|line| line.starts_with("test result:"));
        let before = results
            .filter_map(|line| line.split(&format!(" {word}")).next()?.rsplit(" ").next()?.parse::<usize>().ok());
        before.sum()
    };
    let (passed, failed) = (counted("passed"), counted("failed"));
    if !output.status.success() {
        eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    vec![
        held(
            "targets of fuzzing, of them with a kept corpus",
            format!("{targets}, {corpora}"),
            format!("≥ {TARGETS}, all"),
            targets >= TARGETS && corpora == targets,
        ),
        held(
            format!("{cases} changed inputs for each target: tests passed, failed"),
            format!("{passed}, {failed}"),
            "all, 0",
            output.status.success() && passed >= 4 && failed == 0,
        ),
        row(
            format!("{cases} changed inputs for each target: took (24 h each before 1.0 are for fuzz/, not for this)"),
            secs(start.elapsed()),
            "",
        ),
    ]
}
