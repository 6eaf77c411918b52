//! The parts of a word that are not plain: quotes, escapes, variables, substitutions, placeholders.

use super::super::{html, marks};
use super::{At, Refusal, Scanner, is_name, split};

impl Scanner {
    pub(super) fn single_quoted(&mut self, word: &mut String) -> Result<(), Refusal> {
        let unended = self.refusal("this ' has no end (was the line pasted into quotes of the same kind? then give it on standard input: bearerd import curl -)");
        self.bump();
        loop {
            match self.bump() {
                Some('\'') => return Ok(()),
                Some(character) => word.push(character),
                None => return Err(unended),
            }
        }
    }

    pub(super) fn double_quoted(&mut self, word: &mut String) -> Result<(), Refusal> {
        let unended = self.refusal("this \" has no end");
        self.bump();
        loop {
            match self.peek(0) {
                None => return Err(unended),
                Some('"') => {
                    self.bump();
                    return Ok(());
                }
                Some('\\') => {
                    self.bump();
                    match self.bump() {
                        Some('\n') => {}
                        Some(escaped @ ('$' | '`' | '"' | '\\')) => word.push(escaped),
                        Some(other) => word.extend(['\\', other]),
                        None => return Err(unended),
                    }
                }
                Some('$') => self.dollar(word, true)?,
                Some('`') => self.backticks(word)?,
                Some('^') if self.quoted_caret(word) => {}
                Some(other) => {
                    word.push(other);
                    self.bump();
                }
            }
        }
    }

    /// What begins with `$`; inside double quotes `$'` and `$"` mean nothing.
    pub(super) fn dollar(&mut self, word: &mut String, is_quoted: bool) -> Result<(), Refusal> {
        match self.peek(1) {
            Some('\'') if !is_quoted => {
                self.bump();
                self.ansi_quoted(word)
            }
            Some('"') if !is_quoted => {
                self.bump();
                self.double_quoted(word)
            }
            Some('(') => self.substitution(word),
            Some('{') => self.braced(word),
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                self.bump();
                let name = self.name();
                // PowerShell's $env:NAME.
                let is_powershell = name == "env" && self.peek(0) == Some(':');
                let name = if is_powershell && self.bump().is_some() { self.name() } else { name };
                word.push_str(&marks::variable(&name));
                Ok(())
            }
            _ => {
                word.extend(self.bump());
                Ok(())
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(character) = self.peek(0).filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(character);
            self.bump();
        }
        name
    }

    /// `${NAME}`, `${NAME:-default}`: the name counts. Anything else is a placeholder and stays.
    fn braced(&mut self, word: &mut String) -> Result<(), Refusal> {
        let unended = self.refusal("this ${ has no end");
        let mut inside = String::new();
        self.bump();
        self.bump();
        loop {
            match self.bump() {
                Some('}') => break,
                Some(character) => inside.push(character),
                None => return Err(unended),
            }
        }
        let name: String = inside.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let operator = inside.chars().nth(name.len());
        match is_name(&name) && operator.is_none_or(|c| ":-=+?#%/^,@".contains(c)) {
            true => word.push_str(&marks::variable(&name)),
            false => word.push_str(&format!("{{{inside}}}")),
        }
        Ok(())
    }

    /// `$'…'` with the escapes of C.
    fn ansi_quoted(&mut self, word: &mut String) -> Result<(), Refusal> {
        let unended = self.refusal("this $' has no end");
        self.bump();
        loop {
            let escaped = match self.bump() {
                Some('\'') => return Ok(()),
                Some('\\') => self.bump(),
                Some(character) => {
                    word.push(character);
                    continue;
                }
                None => return Err(unended),
            };
            match escaped {
                Some('n') => word.push('\n'),
                Some('t') => word.push('\t'),
                Some('r') => word.push('\r'),
                Some('x') => word.extend(self.number(16, 2)),
                Some('u') => word.extend(self.number(16, 4)),
                Some('U') => word.extend(self.number(16, 8)),
                Some(digit @ '0'..='7') => {
                    (self.next, self.column) = (self.next - 1, self.column - 1);
                    word.extend(self.number(8, 3).or(Some(digit)));
                }
                Some(other) => word.push(other),
                None => return Err(unended),
            }
        }
    }

    fn number(&mut self, radix: u32, digits: usize) -> Option<char> {
        let mut value = 0_u32;
        for _ in 0..digits {
            let Some(digit) = self.peek(0).and_then(|character| character.to_digit(radix)) else { break };
            value = value.checked_mul(radix)?.checked_add(digit)?;
            self.bump();
        }
        char::from_u32(value).filter(|character| !marks::is_private(*character))
    }

    pub(super) fn backticks(&mut self, word: &mut String) -> Result<(), Refusal> {
        let (at, unended) = (self.at(), self.refusal("this ` has no end"));
        self.bump();
        let mut inside = String::new();
        loop {
            match self.bump() {
                Some('`') => break,
                Some(character) => inside.push(character),
                None => return Err(unended),
            }
        }
        word.push_str(&substituted(&inside, at)?);
        Ok(())
    }

    /// `$(…)`, to its own closing parenthesis.
    fn substitution(&mut self, word: &mut String) -> Result<(), Refusal> {
        let (at, unended) = (self.at(), self.refusal("this $( has no end"));
        self.bump();
        self.bump();
        let (mut inside, mut depth, mut quote) = (String::new(), 1, None);
        loop {
            let Some(character) = self.bump() else { return Err(unended) };
            match (character, quote) {
                ('\'' | '"', None) => quote = Some(character),
                (_, Some(open)) if character == open => quote = None,
                ('(', None) => depth += 1,
                (')', None) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            inside.push(character);
        }
        word.push_str(&substituted(&inside, at)?);
        Ok(())
    }

    /// An `&` inside a word, which stands there for itself; one of HTML has a `;` behind it that ends no command.
    pub(super) fn ampersand(&mut self, word: &mut String) -> Result<(), Refusal> {
        let behind: String = self.characters.iter().skip(self.next + 1).take(8).collect();
        if let Some(what) = html::escape_in(&behind) {
            return Err(self.refusal(&what));
        }
        let length = if behind.starts_with("amp;") { "&amp;".len() } else { 1 };
        for _ in 0..length {
            word.extend(self.bump());
        }
        Ok(())
    }

    /// `<your secret>` without quotes, as documentation has it; a shell would read a file of that name.
    pub(super) fn placeholder(&mut self, word: &mut String) -> Result<(), Refusal> {
        let rest = self.characters.get(self.next..).unwrap_or_default();
        let length = rest.iter().skip(1).take(80).take_while(|c| !matches!(c, '<' | '>' | '\n' | '"' | '\'')).count();
        if rest.get(length + 1) != Some(&'>') || length == 0 {
            return Err(self.refusal("a redirection of input: write the body behind --data instead"));
        }
        for _ in 0..length + 2 {
            word.extend(self.bump());
        }
        Ok(())
    }
}

/// What a command substitution would give, as far as it can be said.
fn substituted(command: &str, at: At) -> Result<String, Refusal> {
    let unknown = "a command, of which the output is not known here: write a variable ($NAME) or a file ($(cat FILE))";
    let unknown = || Refusal::new(at, unknown);
    if let Some(path) =
        command.trim().strip_prefix('<').map(str::trim).filter(|path| !path.contains(char::is_whitespace))
    {
        return Ok(marks::file(path));
    }
    let line = split(command).map_err(|refusal| Refusal::new(at, refusal.what))?;
    let words: Vec<&str> = line.words.iter().map(|word| word.text.as_str()).collect();
    match (words.as_slice(), line.piped.as_deref().map(str::trim)) {
        (["cat", path], None) if !marks::has_marks(path) => Ok(marks::file(path)),
        (["echo", "-n", text] | ["echo" | "printf", text] | ["printf", "%s", text], Some(to)) if is_base64(to) => {
            Ok(marks::base64(text))
        }
        _ => Err(unknown()),
    }
}

fn is_base64(command: &str) -> bool {
    let program = command.split(|c: char| c.is_whitespace() || c == '|').next();
    program == Some("base64") || command.starts_with("openssl base64")
}
