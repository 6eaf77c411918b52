//! The table of figures.

use std::time::Duration;

/// A line of it: what was measured, the figure, what it had to be. A proof that gives a row has held it to that.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    figure: String,
    wanted: String,
}

pub(crate) fn row(what: impl Into<String>, figure: impl ToString, wanted: impl Into<String>) -> Row {
    Row { what: what.into(), figure: figure.to_string(), wanted: wanted.into() }
}

/// Prints it as Markdown.
pub(crate) fn print(table: &[Row]) {
    let width = table.iter().map(|row| row.what.chars().count()).max().unwrap_or(0).max(30);
    println!("| {:<width$} | {:>24} | {:<24} |", "measured", "figure", "must be");
    println!("|{:-<1$}|{2:->25}:|{2:-<26}|", "", width + 2, "");
    for Row { what, figure, wanted } in table {
        println!("| {what:<width$} | {figure:>24} | {wanted:<24} |");
    }
}

/// As milliseconds.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// As seconds.
pub(crate) fn secs(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
