//! The file of results: a section for each scenario, with the day, the machine and the commit of its last run.
//!
//! A run of some scenarios replaces their sections and leaves the others as they are; one at full length has a section of its own
//! beside the short one.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

const HEAD: &str = "# Reliability: what was measured\n\nMade by `./reliability --write`; every section is the last run of its scenario, whole. \
                    `./reliability NAME` repeats it.\nLoad generators, peers and bearerd share the machine.\n";

/// What a section says of the run.
pub(crate) struct Run {
    text: String,
}

impl Run {
    /// This machine, this commit, this moment.
    pub(crate) fn now() -> Self {
        let setting = if crate::setting::is_full() { "full" } else { "short" };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let (date, commit) =
            (said("date", &["-u", "+%F %H:%M UTC"]), said("git", &["describe", "--always", "--dirty"]));
        let (kernel, cpu) = (said("uname", &["-sr"]), cpu());
        Self { text: format!("{date}, commit {commit}, {setting} setting, {cores} cores ({cpu}), {kernel}.") }
    }
}

/// Puts a scenario's section into the file that `BEARERD_RESULTS` names, if one is.
pub(crate) fn write(name: &str, title: &str, run: &Run, table: &str) {
    let Some(path) = env::var_os("BEARERD_RESULTS") else { return };
    let path = Path::new(&path);
    let known = fs::read_to_string(path).unwrap_or_else(|_| HEAD.to_owned());
    let name = if crate::setting::is_full() { format!("{name}, at full length") } else { name.to_owned() };
    let section = format!("{name}: {title}\n\n{}\n\n{table}", run.text);
    fs::write(path, placed(&known, &name, &section)).unwrap();
}

/// The text with this section in the place of the scenario's last one, or in its order.
fn placed(text: &str, name: &str, section: &str) -> String {
    let mut parts: Vec<&str> = text.split("\n## ").collect();
    let head = parts.remove(0).trim_end().to_owned();
    let mut sections: Vec<String> = parts
        .iter()
        .filter(|part| !part.starts_with(&format!("{name}:")))
        .map(|part| part.trim_end().to_owned())
        .collect();
    sections.push(section.trim_end().to_owned());
    let order = |section: &String| {
        let name = section.split([':', ',']).next().unwrap_or_default().to_owned();
        crate::SCENARIOS.iter().position(|scenario| scenario.name == name)
    };
    sections.sort_by_key(order);
    let body: String = sections.iter().map(|section| format!("\n\n## {section}")).collect();
    format!("{head}{body}\n")
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    line.split(':').nth(1).unwrap_or("unknown").trim().to_owned()
}
