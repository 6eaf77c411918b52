//! Markup that cannot be got wrong: what is not a constant of the program is escaped.
//!
//! Owns the only way from text to markup. `raw` takes constants alone, so nothing that comes from a configuration, a token endpoint
//! or a caller can be markup.

use std::fmt::{self, Display, Write as _};

use crate::admin::words;

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup, as written in the program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, escaped, for between tags and for quoted attributes.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing into a string does not fail.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// ` name="value"`.
    pub(super) fn attribute(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw(" ").raw(name).raw("=\"").text(value).raw("\"")
    }

    /// `<tag class="class">text</tag>`.
    pub(super) fn element(&mut self, tag: &'static str, class: &'static str, text: impl Display) -> &mut Self {
        self.raw("<").raw(tag).attribute("class", class).raw(">").text(text).raw("</").raw(tag).raw(">")
    }

    /// A term and its description.
    pub(super) fn fact(&mut self, term: &'static str, description: impl Display) -> &mut Self {
        self.raw("<div><dt>").raw(term).raw("</dt><dd>").text(description).raw("</dd></div>")
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Writes text as HTML has it, without what cannot be seen but changes how the rest is read.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in words::harmless(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut html = Html::default();
        html.raw("<p")
            .attribute("title", "a\" onclick='x()'")
            .raw(">")
            .text("<script>&\u{202e}\u{0}</script>")
            .raw("</p>");
        assert_eq!(
            html.into_string(),
            "<p title=\"a&quot; onclick=&#39;x()&#39;\">&lt;script&gt;&amp;\u{fffd}\u{fffd}&lt;/script&gt;</p>"
        );
    }
}
