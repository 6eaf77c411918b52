//! How the demo speaks: plain text on standard output, with colour only where a terminal shows it.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

/// Writes the story. A reader that goes away (`| head`) ends the text, not the demo.
pub(super) struct Printer {
    out: Box<dyn Write>,
    colour: bool,
    /// Why something could not be written.
    lost: Option<io::Error>,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Bold,
    Good,
    Bad,
}

impl Printer {
    /// To standard output.
    pub(super) fn stdout(colour: bool) -> Self {
        Self { out: Box::new(io::stdout()), colour, lost: None }
    }

    /// To anything.
    #[cfg(test)]
    pub(super) fn to(out: impl Write + 'static, colour: bool) -> Self {
        Self { out: Box::new(out), colour, lost: None }
    }

    /// A blank line and a heading.
    pub(super) fn heading(&mut self, text: &str) {
        let text = self.toned(Tone::Bold, text);
        self.write(&format!("\n{text}\n"));
    }

    /// One line of the story, indented below its heading.
    pub(super) fn say(&mut self, text: &str) {
        self.write(&format!("   {text}\n"));
    }

    /// What was hoped for.
    pub(super) fn good(&mut self, text: &str) {
        let mark = self.toned(Tone::Good, "ok");
        self.write(&format!("   {mark}  {text}\n"));
    }

    /// What went wrong.
    pub(super) fn bad(&mut self, text: &str) {
        let mark = self.toned(Tone::Bad, "FAILED");
        self.write(&format!("   {mark}  {text}\n"));
    }

    /// Lines as they are.
    pub(super) fn plain(&mut self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// A line that the next one of its kind replaces. The cursor goes back to its beginning, so that a line of the log
    /// replaces it too instead of following it.
    pub(super) fn live(&mut self, text: &str) {
        self.write(&format!("\r\x1b[2K{text}\r"));
    }

    /// Why a part of the text is lost, other than that nobody reads any more.
    pub(super) fn lost(&mut self) -> Option<io::Error> {
        self.lost.take()
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Bold => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&mut self, text: &str) {
        // A line at a time, so that a pipe shows the story as it happens.
        if let Err(error) = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.get_or_insert(error);
        }
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").field("colour", &self.colour).finish_non_exhaustive()
    }
}

/// A number with its thousands apart: `4,123`.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as a person reads it: `0.8 ms`, `41 ms`, `2.9 s`.
pub(super) fn time(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Rc<RefCell<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(colour: bool, write: impl Fn(&mut Printer)) -> String {
        let page = Page::default();
        write(&mut Printer::to(page.clone(), colour));
        String::from_utf8(page.0.take()).unwrap()
    }

    #[test]
    fn colour_appears_only_where_it_is_wanted() {
        let write = |printer: &mut Printer| {
            printer.heading("1. A");
            printer.good("fine");
            printer.bad("not fine");
        };
        assert_eq!(printed(false, write), "\n1. A\n   ok  fine\n   FAILED  not fine\n");
        assert!(printed(true, write).contains("\x1b[32mok\x1b[0m  fine"));
    }

    #[test]
    fn numbers_and_times_read_easily() {
        assert_eq!([count(7), count(4123), count(1_000_000)], ["7", "4,123", "1,000,000"]);
        let check = |micros: u64, wanted: &str| assert_eq!(time(Duration::from_micros(micros)), wanted);
        check(830, "0.8 ms");
        check(9_960, "10 ms");
        check(41_400, "41 ms");
        check(999_700, "1.0 s");
        check(2_940_000, "2.9 s");
    }
}
