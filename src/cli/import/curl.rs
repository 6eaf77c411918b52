//! From words to a call of curl: options with their values, in the order that matters.
//!
//! Owns how options are written (`-d x`, `-dx`, `-sSfd x`, `--data x`, `--data=x`, `--`). What they amount to is for
//! [`super::body`] and [`super::infer`].

use super::marks;
use super::options::{self, Meaning};
use super::shell::{At, Line, Refusal, Word, is_curl, is_name};

/// One call, as written.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) url: Option<Word>,
    pub(super) method: Option<Word>,
    /// `-G`: the data is the query.
    pub(super) is_get: bool,
    pub(super) data: Vec<Datum>,
    pub(super) headers: Vec<Word>,
    pub(super) user: Option<Word>,
    pub(super) ca: Option<Word>,
    pub(super) certificate: Option<Word>,
    pub(super) key: Option<Word>,
    pub(super) proxy: Option<Word>,
    pub(super) proxy_user: Option<Word>,
    /// Options that were left out, as they were written.
    pub(super) dropped: Vec<String>,
    /// What has to be said of others.
    pub(super) notes: Vec<String>,
    /// What the shell was told before the call: `DOMAIN=…`.
    pub(super) variables: Vec<(String, String)>,
    pub(super) piped: Option<String>,
}

/// A piece of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Datum {
    /// `--data`
    AsWritten(Word),
    /// `--data-urlencode`
    Encoded(Word),
    /// `--json`
    Json(Word),
    /// `--form`
    Part(Word),
    /// `--form-string`
    LiteralPart(Word),
}

/// Reads the words of a line.
///
/// # Errors
/// No `curl`, no URL, two URLs, an option without its value, an option that no token request can have.
pub(super) fn read(line: Line) -> Result<Call, Refusal> {
    let mut call = Call { piped: line.piped, ..Call::default() };
    let mut words = line.words.into_iter().peekable();
    let start = words.peek().map_or(At::Whole, |word| word.at);
    let first = loop {
        let Some(word) = words.next() else {
            return Err(Refusal::new(start, "no curl: the line must begin with curl"));
        };
        if is_curl(&word.text) {
            break None;
        }
        // Only the options and the URL, without the program.
        if word.text.starts_with('-') || word.text.starts_with("http") {
            break Some(word);
        }
        let assignment = word.text.split_once('=').filter(|(name, _)| is_name(name));
        match assignment {
            Some((name, value)) => call.variables.push((name.to_owned(), value.to_owned())),
            // A copied prompt, or a word that runs curl.
            None if matches!(word.text.as_str(), "$" | "%" | "sudo" | "export" | "time" | "exec" | "command") => {}
            None => return Err(Refusal::new(word.at, "not curl: the line must begin with curl")),
        }
    };
    let mut reader = Reader { call, words: first.into_iter().chain(words).collect(), next: 0 };
    reader.read()?;
    match &reader.call.url {
        Some(_) => Ok(reader.call),
        None => Err(Refusal::new(At::Whole, "no URL in it")),
    }
}

const IN_NETRC: &str =
    "the login stands in a file of curl's (.netrc), which bearerd does not read: write it as -u USER:PASSWORD";

const NOT_UNDERSTOOD: &str = "which are not understood here: write $NAME or the value in their place";

struct Reader {
    call: Call,
    words: Vec<Word>,
    next: usize,
}

impl Reader {
    fn take(&mut self) -> Option<Word> {
        let word = self.words.get(self.next).cloned();
        self.next += 1;
        word
    }

    /// What is likely the value of an option that nobody knows.
    fn skip_value(&mut self) {
        let is_value = |word: &Word| !word.text.starts_with('-') && !word.text.contains("://");
        if self.words.get(self.next).is_some_and(is_value) {
            self.next += 1;
        }
    }

    fn read(&mut self) -> Result<(), Refusal> {
        let mut are_options_over = false;
        while let Some(word) = self.take() {
            match word.text.strip_prefix("--") {
                Some("") if !are_options_over => are_options_over = true,
                Some(name) if !are_options_over => self.long(&word, name)?,
                None if !are_options_over && word.text.len() > 1 && word.text.starts_with('-') => self.short(&word)?,
                _ => self.url(word)?,
            }
        }
        Ok(())
    }

    fn long(&mut self, word: &Word, written: &str) -> Result<(), Refusal> {
        let (name, glued) = match written.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (written, None),
        };
        if name.strip_prefix("expand-").is_some_and(|of| options::long(of).is_some()) {
            let what = format!("--{name} is a text with variables of curl's own, {NOT_UNDERSTOOD}");
            return Err(Refusal::new(word.at, what));
        }
        let Some(meaning) = options::long(name) else {
            let near = options::nearest(name).map_or(String::new(), |near| format!(" (did you mean --{near}?)"));
            self.call.dropped.push(format!("--{}{near}", marks::shown(name)));
            self.skip_value();
            return Ok(());
        };
        let value = match glued {
            Some(value) if meaning.takes_value() => Some(Word { text: value.to_owned(), at: word.at }),
            Some(_) => return Err(Refusal::new(word.at, format!("--{name} takes no value"))),
            None => None,
        };
        self.option(&format!("--{name}"), meaning, value, word.at)
    }

    /// `-s`, `-dx`, `-sSfd x`: the first letter that takes a value takes the rest.
    fn short(&mut self, word: &Word) -> Result<(), Refusal> {
        let mut letters = word.text.chars().skip(1);
        while let Some(letter) = letters.next() {
            let Some((_, meaning)) = options::short(letter) else {
                let what = format!("-{letter}, which is no option of curl (a quote left out before it?)");
                return Err(Refusal::new(word.at, what));
            };
            let rest: String = if meaning.takes_value() { letters.by_ref().collect() } else { String::new() };
            let value = (!rest.is_empty()).then_some(Word { text: rest, at: word.at });
            self.option(&format!("-{letter}"), meaning, value, word.at)?;
        }
        Ok(())
    }

    fn option(&mut self, written: &str, meaning: Meaning, glued: Option<Word>, at: At) -> Result<(), Refusal> {
        let value = match meaning.takes_value() {
            true => Some(
                glued
                    .or_else(|| self.take())
                    .ok_or_else(|| Refusal::new(at, format!("{written} without its value")))?,
            ),
            false => None,
        };
        match (meaning, value) {
            (Meaning::Get, _) => self.call.is_get = true,
            (Meaning::Head, _) => return Err(Refusal::new(at, "a HEAD request, whose answer has no token")),
            (Meaning::Insecure, _) => {
                let cure = "-k: bearerd never leaves a certificate unchecked. Leave -k out, and trust the server's \
                            authority instead: --cacert ca.pem here, or ca = \"ca.pem\" in [credentials.NAME.tls]";
                return Err(Refusal::new(at, cure));
            }
            (Meaning::Refused(why), _) => return Err(Refusal::new(at, format!("{written} is {why}"))),
            (Meaning::Dropped { .. }, _) => self.call.dropped.push(written.to_owned()),
            (Meaning::Netrc { .. }, _) => self.call.notes.push(format!("{written} is left out: {IN_NETRC}")),
            (_, Some(value)) => self.valued(meaning, value, at)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn valued(&mut self, meaning: Meaning, value: Word, at: At) -> Result<(), Refusal> {
        let header = |name: &str| Word { text: format!("{name}: {}", value.text), at: value.at };
        match meaning {
            Meaning::Url => return self.url(value),
            Meaning::Method => self.call.method = Some(value),
            Meaning::Data | Meaning::DataBinary => self.call.data.push(Datum::AsWritten(value)),
            Meaning::DataUrlencode => self.call.data.push(Datum::Encoded(value)),
            Meaning::Json => self.call.data.push(Datum::Json(value)),
            Meaning::Form => self.call.data.push(Datum::Part(value)),
            Meaning::FormString => self.call.data.push(Datum::LiteralPart(value)),
            Meaning::Header => self.call.headers.push(value),
            Meaning::User => self.call.user = Some(value),
            Meaning::Bearer => {
                self.call.headers.push(Word { text: format!("Authorization: Bearer {}", value.text), at })
            }
            Meaning::UserAgent => self.call.headers.push(header("User-Agent")),
            Meaning::Referer => self.call.headers.push(header("Referer")),
            // Without `=` it is the name of a file of cookies.
            Meaning::Cookie if value.text.contains('=') => self.call.headers.push(header("Cookie")),
            Meaning::Cookie => self.call.dropped.push("-b with a file of cookies".to_owned()),
            Meaning::CaFile => self.call.ca = Some(value),
            Meaning::Certificate => self.call.certificate = Some(value),
            Meaning::CertificateType if value.text.eq_ignore_ascii_case("PEM") => {}
            Meaning::CertificateType => {
                return Err(Refusal::new(
                    at,
                    "a certificate or key that is not PEM: convert it (openssl pkcs12 -in FILE -out FILE.pem -nodes)",
                ));
            }
            Meaning::Key => self.call.key = Some(value),
            Meaning::Passphrase => {
                return Err(Refusal::new(
                    at,
                    "an encrypted key, which bearerd cannot open: decrypt it (openssl pkey -in KEY -out FILE)",
                ));
            }
            Meaning::Proxy => self.call.proxy = Some(value),
            Meaning::ProxyUser => self.call.proxy_user = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn url(&mut self, word: Word) -> Result<(), Refusal> {
        if self.call.url.is_none() {
            self.call.url = Some(word);
            return Ok(());
        }
        let looks_like_url = word.text.contains("://");
        let what = match looks_like_url {
            true => "a second URL: import each request for itself",
            false => {
                "neither an option nor its value (did quotes get lost? then give the line on standard input: bearerd import curl -)"
            }
        };
        Err(Refusal::new(word.at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::*;

    fn call(text: &str) -> Call {
        read(shell::split(text).unwrap()).unwrap()
    }

    fn refused(text: &str) -> String {
        read(shell::split(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn options_are_read_in_every_way_of_writing_them() {
        for text in [
            "curl -X POST -d a=b https://x",
            "curl -XPOST -da=b https://x",
            "curl -sSfXPOST --data a=b --url https://x",
            "curl --request=POST --data=a=b -- https://x",
            "$ /usr/bin/curl https://x --data-raw a=b --request POST",
        ] {
            let call = call(text);
            assert_eq!(call.url.unwrap().text, "https://x", "{text}");
            assert_eq!(call.method.unwrap().text, "POST", "{text}");
            assert!(
                matches!(&call.data[..], [Datum::AsWritten(word)] if word.text == "a=b"),
                "{text}: {:?}",
                call.data
            );
        }
    }

    #[test]
    fn what_was_left_out_is_named() {
        let call = call("curl -4 --resolve a:1:b --haeder x --max-time 3 -o f https://x");
        assert_eq!(call.dropped, ["-4", "--resolve", "--haeder (did you mean --header?)"]);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_place() {
        let check = |text: &str, wanted: &str| assert!(refused(text).starts_with(wanted), "{}", refused(text));
        check("wget https://x", "column 1: not curl");
        check("", "the curl line: no curl");
        check("curl -s", "the curl line: no URL");
        check("curl https://x https://y", "column 16: a second URL");
        check("curl https://x application/json", "column 16: neither an option");
        check("curl -k https://x", "column 6: -k: bearerd never");
        check("curl -sk https://x", "column 6: -k: bearerd never");
        check("curl -X", "column 6: -X without its value");
        check("curl -Q https://x", "column 6: -Q, which is no option");
        check("curl --digest -u a:b https://x", "column 6: --digest is Digest");
        check("curl -I https://x", "column 6: a HEAD request");
        check("curl --cert-type P12 https://x", "column 6: a certificate or key that is not PEM");
        check("curl --get=1 https://x", "column 6: --get takes no value");
    }
}
