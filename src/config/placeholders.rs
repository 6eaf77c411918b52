//! `YOUR-TENANT`, `YOUR_CLIENT_ID`: what a template leaves to be filled in; `${CLIENT_ID}`, `{{ id }}`: what another program would have
//! filled in, and bearerd does not.
//!
//! Owns the warnings about both. Shows of a value the placeholder alone: the rest may be a secret.

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
            } else if let Some(variable) = variable(text) {
                let message = format!("{variable}, which is not replaced here but sent as it stands");
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

/// What another program would put a value in the place of, as the beginning of a sentence.
fn variable(text: &str) -> Option<String> {
    let is_name = |name: &str| {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    let braced = text.split_once("${").and_then(|(_, rest)| rest.split_once('}')).map(|(name, _)| name);
    if let Some(name) = braced.filter(|name| is_name(name)) {
        let whole = text.len() == name.len() + "${}".len();
        let instead = if whole { format!(": did you mean {{ env = {name:?} }}?") } else { String::new() };
        return Some(format!("holds ${{{name}}}{instead}"));
    }
    let is_loud = |name: &&str| is_name(name) && !name.bytes().any(|c| c.is_ascii_lowercase());
    let between = |start, end| text.strip_prefix(start).and_then(|text| text.strip_suffix(end));
    if let Some(name) = text.strip_prefix('$').or_else(|| between('%', '%')).filter(is_loud) {
        return Some(format!("is the variable {name}: did you mean {{ env = {name:?} }}?"));
    }
    let is_template = text.trim_start().starts_with("{{") && text.trim_end().ends_with("}}");
    is_template.then(|| "is a template's {{ … }}".to_owned())
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

    #[test]
    fn a_variable_is_what_a_shell_or_a_template_would_replace() {
        let check = |text: &str, wanted: Option<&str>| {
            let found = variable(text);
            assert_eq!(found.is_some(), wanted.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(wanted.unwrap_or_default()), "{text}");
        };
        check("${CLIENT_ID}", Some("holds ${CLIENT_ID}: did you mean { env = \"CLIENT_ID\" }?"));
        check("https://${host}/token", Some("holds ${host}"));
        check("$API_KEY", Some("{ env = \"API_KEY\" }"));
        check("%API_KEY%", Some("the variable API_KEY"));
        check("{{ .Values.secret }}", Some("template"));
        for text in ["pa$$word", "$ecret", "a${b", "${a-b}", "100%", "%20", "{{", "{a}", "$", ""] {
            check(text, None);
        }
    }
}
