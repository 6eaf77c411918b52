//! `bearerd explain CODE`: the page of a reason code.

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
}

/// Prints the page, or the list. 0, or 2 if there is no such code.
pub fn run(args: &Args) -> ExitCode {
    match text(args.code.as_deref()) {
        Ok(text) => {
            let _ = write!(io::stdout(), "{text}");
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
        format!("{unknown}{near}\n\n{}", list())
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

/// Every code with its title, by letter.
fn list() -> String {
    let mut text = String::new();
    let groups = [("T", "Tokens"), ("U", "Upstreams"), ("C", "Callers"), ("F", "Configuration")];
    for (letter, title) in groups {
        let _ = writeln!(text, "{title}");
        for reason in Reason::ALL.iter().filter(|reason| reason.code().starts_with(letter)) {
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
        assert!(error.ends_with(&list()), "{error}");
    }
}
