//! `YOUR-TENANT`, `YOUR_CLIENT_ID`: what a template leaves to be filled in.
//!
//! Owns the warning about what was not. Shows of a value the placeholder alone: the rest may be a secret.

use super::context::Context;
use super::document::{Node, Table, Value};
use super::reader::dotted;
use crate::reason::Reason;

/// Warns of every text in the document that has one.
pub(super) fn warn(context: &Context<'_>, table: &Table) {
    walk(context, table, "");
}

fn walk(context: &Context<'_>, table: &Table, path: &str) {
    for entry in &table.entries {
        let path = if path.is_empty() { entry.key.clone() } else { dotted(path, &entry.key) };
        node(context, &entry.node, &path);
    }
}

fn node(context: &Context<'_>, found: &Node, path: &str) {
    match &found.value {
        Value::Text(text) => {
            if let Some(placeholder) = placeholder(text) {
                let message = format!("{placeholder} is a placeholder: write your own value in its place");
                context.warning(found.place.clone(), Reason::ConfigWrongValue, path, message);
            }
        }
        Value::List(items) => items.iter().for_each(|item| node(context, item, path)),
        Value::Table(table) => walk(context, table, path),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Date => {}
    }
}

/// `YOUR-` or `YOUR_` at the beginning of a word, and the capitals that follow.
fn placeholder(text: &str) -> Option<&str> {
    let starts = ["YOUR-", "YOUR_"].iter().filter_map(|start| text.find(start));
    let at = starts.min()?;
    let is_inside = text.get(..at)?.ends_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.get(at..)?;
    let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '-' | '_')));
    let word = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches(['-', '_']);
    (!is_inside && word.len() > "YOUR-".len()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_what_a_template_left() {
        let check = |text: &str, wanted: Option<&str>| assert_eq!(placeholder(text), wanted, "{text}");
        check("https://YOUR-KEYCLOAK-HOST/realms/x", Some("YOUR-KEYCLOAK-HOST"));
        check("YOUR_CLIENT_ID", Some("YOUR_CLIENT_ID"));
        check("api://YOUR-APP-ID/.default", Some("YOUR-APP-ID"));
        check("YOUR-", None);
        check("your-client", None);
        check("xYOUR-KEY", None);
    }
}
