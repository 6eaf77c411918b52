//! The manual for people: `docs/configuration.md`.

use std::fmt::Write as _;

use super::{Default, Key, Kind, Section, sections};

const HEAD: &str = "\
# Configuration

<!-- Made by `bearerd schema --markdown` from src/config/manual; a test holds it against them. -->

Every key of `bearerd.toml`, by table. [`config.example.toml`](../config.example.toml) is the same as a file with comments;
`bearerd check` shows every mistake of yours with its line and its cure.

- Durations are strings with a unit (`\"500ms\"`, `\"10s\"`, `\"1h30m\"`), sizes too (`\"64KiB\"`, `\"1MB\"`). Relative paths are relative to
  the file.
- Where a list is taken, one value may stand alone.
- `NAME` is yours to choose: letters, digits, `_` and `-`.

**In an editor**: `bearerd schema > bearerd.schema.json` writes the JSON Schema (draft 2020-12) of it. Editors with
[taplo](https://taplo.tamasfe.dev) (Even Better TOML in VS Code, Helix, Neovim, Zed) complete, explain and check the file as you type if
its first line is

```toml fragment
#:schema ./bearerd.schema.json
```
";

/// The whole document.
pub(crate) fn markdown() -> String {
    let mut text = HEAD.to_owned();
    text.push('\n');
    for section in sections() {
        let _ = writeln!(text, "- [{}](#{})", title(section), anchor(section));
    }
    sections().for_each(|section| table(&mut text, section));
    text
}

fn table(text: &mut String, section: &Section) {
    let (anchor, title, about) = (anchor(section), title(section), section.about);
    let _ = write!(text, "\n<a id=\"{anchor}\"></a>\n\n## {title}\n\n{about}\n\n");
    text.push_str("| Key | Takes | Default | Meaning |\n|---|---|---|---|\n");
    section.obeyed().for_each(|row| line(text, row));
}

fn line(text: &mut String, row: &Key) {
    let default = match row.default {
        Default::None => "none".to_owned(),
        Default::Required => "*required*".to_owned(),
        Default::Is(value) => format!("`{value}`"),
        Default::Says(words) => words.to_owned(),
    };
    let cells = [format!("`{}`", row.name), row.kind.shown(), default, row.about.to_owned()];
    let _ = writeln!(text, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
}

/// A heading; what stands in a file is shown as such.
fn title(section: &Section) -> String {
    let shown = |part: &str| if part.starts_with('[') { format!("`{part}`") } else { part.to_owned() };
    section.heading.split(" and ").map(shown).collect::<Vec<_>>().join(" and ")
}

fn anchor(section: &Section) -> String {
    section.id.replace('_', "-")
}

impl Kind {
    fn shown(&self) -> String {
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::Integer(from, to) => format!("{from} to {to}"),
            Self::Word(words) => words().iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" "),
            Self::Form(form) => form.shown().to_owned(),
            Self::Share => "boolean or 0 to 1".to_owned(),
            Self::Secret => "[secret](#secret)".to_owned(),
            Self::Field => "[secret](#secret) or [reference](#step)".to_owned(),
            Self::Param => "[secret](#secret), number, boolean or [reference](#step)".to_owned(),
            Self::Proxy => "`\"env\"` `\"none\"` or URL ([secret](#secret))".to_owned(),
            Self::Account => "name or number".to_owned(),
            Self::Json => "anything".to_owned(),
            Self::Command => "list of strings".to_owned(),
            Self::Either(one, other) => format!("{} or {}", one.shown(), other.shown()),
            Self::Many(one) => format!("list of {}", one.shown()),
            Self::Map(_, value) => format!("table of {}", value.shown()),
            Self::Table(id) => format!("[table](#{})", id.replace('_', "-")),
            Self::Tables(id) => format!("[list of tables](#{})", id.replace('_', "-")),
        }
    }
}
