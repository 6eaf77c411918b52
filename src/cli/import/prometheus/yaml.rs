//! YAML as a tree of texts with their places, which is all that a configuration of Prometheus is.
//!
//! Owns nesting, aliases and merge keys (`<<`). Refuses what no configuration is: nesting deeper than [`DEEPEST`], and aliases
//! that multiply a text beyond [`LARGEST`].

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Levels of nesting.
const DEEPEST: usize = 128;
/// Nodes that aliases may add.
const LARGEST: usize = 100_000;

/// A value and where it stands; both numbers count from 1.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    /// As written; empty for null.
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// The text is no YAML of the kind above: where, and never what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Node {
    /// The member of a mapping.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match &self.data {
            Data::Mapping(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A scalar as text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many nodes it is.
    fn size(&self) -> usize {
        1 + match &self.data {
            Data::Text(_) => 0,
            Data::List(items) => items.iter().map(Self::size).sum(),
            Data::Mapping(members) => members.iter().map(|(_, value)| value.size()).sum(),
        }
    }
}

/// Every document of the text.
///
/// # Errors
/// [`Unreadable`], at the first place where it is.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, Unreadable> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| place(error.marker().line(), error.marker().col()))?;
        tree.take(event, span)?;
    }
    Ok(tree.documents)
}

fn place(line: usize, column: usize) -> Unreadable {
    Unreadable { line, column: column + 1 }
}

#[derive(Default)]
struct Tree {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    added: usize,
}

/// A list or mapping whose end has not come.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<String>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let (line, column) = (span.start.line(), span.start.col() + 1);
        let node = |data| Node { line, column, data };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "~" | "null" | "Null" | "NULL");
                let text = if is_null { String::new() } else { text.into_owned() };
                self.complete(node(Data::Text(text)), anchor);
            }
            Event::SequenceStart(anchor, _) => self.open(node(Data::List(Vec::new())), anchor)?,
            Event::MappingStart(anchor, _) => self.open(node(Data::Mapping(Vec::new())), anchor)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(closed) = self.open.pop() {
                    self.complete(closed.node, closed.anchor);
                }
            }
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor).cloned().ok_or(Unreadable { line, column })?;
                self.added += found.size();
                if self.added > LARGEST {
                    return Err(Unreadable { line, column });
                }
                self.complete(found, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), Unreadable> {
        if self.open.len() == DEEPEST {
            return Err(Unreadable { line: node.line, column: node.column });
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    /// A value is whole: it goes to whatever is open around it.
    fn complete(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(around) = self.open.last_mut() else {
            self.documents.push(node);
            return;
        };
        match &mut around.node.data {
            Data::List(items) => items.push(node),
            Data::Mapping(members) => match around.key.take() {
                None => around.key = Some(node.text().unwrap_or_default().to_owned()),
                Some(key) if key == "<<" => merge(members, node),
                Some(key) => {
                    members.retain(|(known, _)| *known != key);
                    members.push((key, node));
                }
            },
            Data::Text(_) => {}
        }
    }
}

/// Members of a merged mapping, or of several, count where there are none of the mapping itself.
fn merge(members: &mut Vec<(String, Node)>, merged: Node) {
    match merged.data {
        Data::Mapping(others) => {
            for (key, value) in others {
                if members.iter().all(|(known, _)| *known != key) {
                    members.push((key, value));
                }
            }
        }
        Data::List(items) => items.into_iter().for_each(|item| merge(members, item)),
        Data::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_and_merge_keys_are_followed() {
        let text = "a: &x { p: 1, q: ~ }\nb: { <<: *x, p: 2 }\nc: *x\nd: [ 'null', null ]\n";
        let documents = documents(text).unwrap();
        let root = &documents[0];
        let text = |path: [&str; 2]| root.get(path[0]).unwrap().get(path[1]).unwrap().text().unwrap().to_owned();
        assert_eq!(
            (text(["b", "p"]), text(["b", "q"]), text(["c", "p"])),
            ("2".to_owned(), String::new(), "1".to_owned())
        );
        let Data::List(items) = &root.get("d").unwrap().data else { panic!("no list") };
        assert_eq!(items.iter().map(Node::text).collect::<Vec<_>>(), [Some("null"), Some("")]);
        assert_eq!((root.get("b").unwrap().line, root.get("b").unwrap().column), (2, 4));
    }

    #[test]
    fn nesting_and_aliases_have_their_bounds() {
        assert!(documents(&"[".repeat(100_000)).is_err());
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(documents(&text).is_err());
        assert!(documents("a: *b").is_err());
    }
}
