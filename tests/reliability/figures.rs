//! What was measured: rows of a table, each with its verdict.

use std::time::Duration;

/// A line of the table: what was measured, the figure, what it had to be, and whether it is that.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) figure: String,
    pub(crate) wanted: String,
    pub(crate) holds: bool,
}

/// Something that the scenario has held to what it must be already, or that need be nothing in particular.
pub(crate) fn row(what: impl Into<String>, figure: impl ToString, wanted: impl Into<String>) -> Row {
    held(what, figure, wanted, true)
}

/// A figure with its verdict: one that is missed fails the scenario, whose other figures are told all the same.
pub(crate) fn held(what: impl Into<String>, figure: impl ToString, wanted: impl Into<String>, holds: bool) -> Row {
    Row { what: what.into(), figure: figure.to_string(), wanted: wanted.into(), holds }
}

/// The rows as Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut table = String::from("| what | measured | wanted | verdict |\n|---|--:|---|---|\n");
    for Row { what, figure, wanted, holds } in rows {
        let verdict = match (holds, wanted.is_empty()) {
            (true, true) => "",
            (true, false) => "held",
            (false, _) => "**missed**",
        };
        table.push_str(&format!("| {} | {} | {} | {verdict} |\n", cell(what), cell(figure), cell(wanted)));
    }
    table
}

/// As milliseconds.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// As seconds.
pub(crate) fn secs(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
