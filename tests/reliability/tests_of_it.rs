//! Figures that other tests hold already: the same tests, counted. The black-box ones run against the release build.

use std::process::Command;

use crate::figures::{Row, held};
use crate::support::BINARY;

/// Runs the black-box tests whose names begin with one of these; all of them must pass, and there must be as many as that at least.
pub(crate) fn pass(what: &str, names: &[&str], at_least: usize) -> Vec<Row> {
    vec![count("BEARERD_IT", &format!("{what}: tests {} of `cargo test --test it`", names.join(" ")), names, at_least)]
}

/// The same for tests beside the code, where clocks are paused and what never happens can be made to happen.
pub(crate) fn pass_in_library(what: &str, names: &[&str], at_least: usize) -> Vec<Row> {
    vec![count("BEARERD_LIB", &format!("{what}: tests {} of `cargo test --lib`", names.join(" ")), names, at_least)]
}

fn count(executable: &str, what: &str, names: &[&str], at_least: usize) -> Row {
    let executable = std::env::var_os(executable).expect("./reliability builds the other tests and names them");
    let binary = std::env::var_os("BEARERD_TEST_BINARY").unwrap_or_else(|| BINARY.into());
    let mut command = Command::new(executable);
    command.args(names).env("BEARERD_TEST_BINARY", binary).env("BEARERD_TEST_PEERS", "1");
    let output = command.output().expect("the tests start");
    let said = String::from_utf8_lossy(&output.stdout);
    let count = |kind: &str| said.lines().filter(|line| line.starts_with("test ") && line.ends_with(kind)).count();
    let (passed, failed) = (count("... ok"), count("... FAILED"));
    if failed > 0 || !output.status.success() {
        eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    let holds = failed == 0 && passed >= at_least && output.status.success();
    let (figure, wanted) =
        (format!("{passed} passed, {failed} failed"), format!("at least {at_least} passed, 0 failed"));
    held(what, figure, wanted, holds)
}
