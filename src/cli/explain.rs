//! `bearerd explain CODE`: the page of a reason code; all of them as one document.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::reason::Reason;

/// Columns of a page.
const WIDTH: usize = 88;
/// Columns of a code and the gap after it, in the list.
const INDENT: usize = 2;

/// Which code.
#[derive(Clone, Debug, Default)]
pub struct Args {
    /// A code, in either case; without one, all are listed.
    pub code: Option<String>,
    /// All pages, as `docs/reason-codes.md` holds them.
    pub markdown: bool,
}

/// Prints the page, or the list. 0, or 2 if there is no such code.
pub fn run(args: &Args) -> ExitCode {
    if args.markdown {
        super::output::write(markdown());
        return ExitCode::SUCCESS;
    }
    match text(args.code.as_deref()) {
        Ok(text) => {
            super::output::write(text);
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = write!(io::stderr(), "{text}");
            ExitCode::from(2)
        }
    }
}

/// What is printed; `Err` if there is no such code.
fn text(code: Option<&str>) -> Result<String, String> {
    let Some(code) = code else { return Ok(list()) };
    // People copy it with what stands around it in a log line.
    let code = code.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    code.parse::<Reason>().map(page).map_err(|unknown| {
        let near = nearest(code).map_or(String::new(), |near| format!("; did you mean {near}, {}?", near.title()));
        format!("{unknown}{near}\n\nAll of them: bearerd explain\n")
    })
}

/// The page as printed.
fn page(reason: Reason) -> String {
    let page = reason.page();
    let mut text = format!("{reason} {}\n", reason.title());
    section(&mut text, "What it means", &[page.meaning], "");
    section(&mut text, "Likely causes", page.causes, "- ");
    section(&mut text, "What to do", page.cures, "- ");
    section(&mut text, "Where it shows", &[page.shows], "");
    text
}

fn section(text: &mut String, title: &str, paragraphs: &[&str], bullet: &str) {
    let _ = write!(text, "\n{title}\n");
    let indent = INDENT + bullet.len();
    for paragraph in paragraphs {
        let mut column = INDENT + bullet.len();
        let _ = write!(text, "{:INDENT$}{bullet}", "");
        for (index, word) in paragraph.split(' ').enumerate() {
            let length = word.chars().count();
            if index > 0 && column + 1 + length > WIDTH {
                let _ = write!(text, "\n{:indent$}", "");
                column = indent;
            } else if index > 0 {
                text.push(' ');
                column += 1;
            }
            text.push_str(word);
            column += length;
        }
        text.push('\n');
    }
}

/// The codes by their letters.
const GROUPS: [(&str, &str); 4] = [("T", "Tokens"), ("U", "Upstreams"), ("C", "Callers"), ("F", "Configuration")];

fn of_group(letter: &str) -> impl Iterator<Item = &'static Reason> {
    Reason::ALL.iter().filter(move |reason| reason.code().starts_with(letter))
}

/// All pages as one document, each under an anchor that is its code in lower case.
fn markdown() -> String {
    let mut text = String::from(
        "# Reason codes\n\n\
         <!-- Made by `bearerd explain --markdown` from src/reason/pages; a test holds it against them. -->\n\n\
         Every failure that users can meet has a stable code: the same in the log line, the metric label, the status page and the \n\
         problem document. `bearerd explain CODE` prints its page, without a network.\n",
    )
    .replace(" \n", "\n");
    for (letter, title) in GROUPS {
        let _ = write!(text, "\n| {title} | |\n|---|---|\n");
        for reason in of_group(letter) {
            let anchor = reason.code().to_lowercase();
            let _ = writeln!(text, "| [{reason}](#{anchor}) | {} |", escaped(reason.title()));
        }
    }
    for (letter, title) in GROUPS {
        let _ = write!(text, "\n## {title}\n");
        of_group(letter).for_each(|reason| section_of(&mut text, *reason));
    }
    text
}

fn section_of(text: &mut String, reason: Reason) {
    let page = reason.page();
    let (anchor, title) = (reason.code().to_lowercase(), escaped(reason.title()));
    let _ = write!(text, "\n<a id=\"{anchor}\"></a>\n\n### {reason} {title}\n\n{}\n", escaped(page.meaning));
    for (title, items) in [("Likely causes", page.causes), ("What to do", page.cures)] {
        let _ = write!(text, "\n{title}:\n\n");
        for item in items {
            let _ = writeln!(text, "- {}", escaped(item));
        }
    }
    let _ = write!(text, "\nWhere it shows: {}\n", escaped(page.shows));
}

/// A text that Markdown leaves as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Every code with its title, by letter.
fn list() -> String {
    let mut text = String::new();
    for (letter, title) in GROUPS {
        let _ = writeln!(text, "{title}");
        for reason in of_group(letter) {
            let _ = writeln!(text, "  {reason}  {}", reason.title());
        }
        text.push('\n');
    }
    text.push_str("bearerd explain CODE shows what it means and what to do.\n");
    text
}

/// The code that was likely meant: by its letters and digits, else one whose title has the word.
fn nearest(text: &str) -> Option<Reason> {
    if text.is_empty() {
        return None;
    }
    let code = text.to_ascii_uppercase();
    // Of two that are equally near, the one with the same letter.
    let distance = |reason: &Reason| {
        (strsim::damerau_levenshtein(reason.code(), &code), reason.code().chars().next() != code.chars().next())
    };
    let by_code = Reason::ALL.iter().copied().min_by_key(distance).filter(|reason| distance(reason).0 == 1);
    let word = text.to_lowercase();
    by_code.or_else(|| Reason::ALL.iter().copied().find(|reason| reason.title().to_lowercase().contains(&word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_fits_the_width_and_names_its_code_and_title() {
        for reason in Reason::ALL {
            let page = page(*reason);
            assert!(page.starts_with(&format!("{reason} {}\n\nWhat it means\n  ", reason.title())), "{page}");
            for line in page.lines() {
                let is_one_word = !line.trim_start_matches(['-', ' ']).contains(' ');
                assert!(line.chars().count() <= WIDTH || is_one_word, "{reason}: {line:?}");
                assert_eq!(line.trim_end(), line, "{reason}");
            }
        }
    }

    #[test]
    fn the_document_in_docs_is_what_explain_makes_of_the_pages_now() {
        let kept = include_str!("../../docs/reason-codes.md");
        assert!(
            kept == markdown(),
            "it is stale; write it anew: cargo run -- explain --markdown >docs/reason-codes.md"
        );
        for reason in Reason::ALL {
            let anchor = format!("<a id=\"{}\"></a>\n\n### {reason} ", reason.code().to_lowercase());
            assert_eq!(kept.matches(&anchor).count(), 1, "{reason}");
        }
    }

    #[test]
    fn the_list_has_every_code_once() {
        let list = list();
        for reason in Reason::ALL {
            assert_eq!(list.matches(&format!("  {reason}  ")).count(), 1, "{reason}");
        }
    }

    #[test]
    fn a_mistyped_code_or_a_word_finds_the_nearest() {
        let check = |text: &str, wanted: Option<Reason>| assert_eq!(nearest(text), wanted, "{text:?}");
        check("T21", Some(Reason::TokenDenied));
        check("t0020", Some(Reason::TokenRefused));
        check("TO21", Some(Reason::TokenDenied));
        check("c030", Some(Reason::HostNotAllowed));
        check("host", Some(Reason::HostNotAllowed));
        check("qqqqqq", None);
        check("", None);
    }

    #[test]
    fn an_unknown_code_is_wrong_usage_and_a_known_one_is_found_in_any_case_and_with_a_colon() {
        assert_eq!(text(Some("T021")), Ok(page(Reason::TokenDenied)));
        assert_eq!(text(Some("t021:")), Ok(page(Reason::TokenDenied)));
        assert_eq!(text(None), Ok(list()));
        let error = text(Some("T21")).unwrap_err();
        assert!(error.starts_with("there is no reason code \"T21\"; did you mean T021, "), "{error}");
        assert!(
            error.ends_with("bearerd explain\n") && error.lines().count() == 3,
            "its one useful line is not buried: {error}"
        );
    }
}
