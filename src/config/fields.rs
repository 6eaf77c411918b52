//! `routes.*.headers`: fields that a route sets or removes.

use http::header::HeaderName;

use super::document::Entry;
use super::inject;
use super::mistake::Place;
use super::reader::{Keys, Reader, dotted};
use super::secret;
use crate::proxy::field_value;
use crate::proxy::settings::{FieldRules, SetField};
use crate::reason::Reason;

pub(super) const KEYS: Keys =
    Keys { name: "[routes.NAME.headers]", obeyed: &["set", "remove"], later: &[], protective: &[] };

/// The fields that carry a route's token and its proof, where it sends them.
type Injected<'a> = [Option<&'a HeaderName>];

/// The rules of a route, which may not speak of what is `injected`.
pub(super) fn read(reader: &Reader<'_>, injected: &Injected<'_>) -> FieldRules {
    let mut rules = FieldRules::default();
    for (name, place) in reader.parsed_items("remove", inject::header_name).unwrap_or_default() {
        if is_free(reader, &name, &place, &reader.dotted("remove"), injected) {
            rules.remove.push(name);
        }
    }
    let path = reader.dotted("set");
    for entry in reader.entries("set") {
        if let Some(field) = set_field(reader, entry, &dotted(&path, &entry.key), injected, &rules) {
            rules.set.push(field);
        }
    }
    rules
}

fn set_field(
    reader: &Reader<'_>,
    entry: &Entry,
    key: &str,
    injected: &Injected<'_>,
    rules: &FieldRules,
) -> Option<SetField> {
    let mistake = |place: &Place, reason, message: &str| reader.context().mistake(place.clone(), reason, key, message);
    let Ok(name) = inject::header_name(&entry.key) else {
        mistake(&entry.key_place, Reason::ConfigWrongValue, "is no legal name of a header field");
        return None;
    };
    if !is_free(reader, &name, &entry.key_place, key, injected) {
        return None;
    }
    if rules.set.iter().any(|other| is_alias(&other.name, &name)) {
        mistake(&entry.key_place, Reason::ConfigContradiction, "is written twice");
    } else if rules.remove.iter().any(|other| is_alias(other, &name)) {
        let message = "is removed too: what is set replaces whatever the caller sends, so remove it from remove";
        mistake(&entry.key_place, Reason::ConfigContradiction, message);
    }
    let source = secret::from_node(reader.context(), &entry.node, key)?;
    // What cannot be read has been told of.
    let value = field_value(source.read_now().ok()?.expose());
    if value.is_err() {
        mistake(&entry.node.place, Reason::ConfigWrongValue, "holds characters that no header field can");
    }
    Some(SetField { name, source, value: value.ok()? })
}

/// Whether a rule may speak of a field at all; if not, the mistake is recorded.
fn is_free(reader: &Reader<'_>, name: &HeaderName, place: &Place, key: &str, injected: &Injected<'_>) -> bool {
    let message = if inject::is_of_connection(name) {
        format!("{name} belongs to the connection or the message, and is bearerd's own to say")
    } else if injected.iter().flatten().any(|injected| is_alias(injected, name)) {
        format!("{name} carries the token or its proof, and whatever the caller sends in it is replaced already")
    } else {
        return true;
    };
    reader.context().mistake(place.clone(), Reason::ConfigContradiction, key, message);
    false
}

/// Whether CGI and WSGI servers would take one for the other.
fn is_alias(one: &HeaderName, other: &HeaderName) -> bool {
    one.as_str().replace('_', "-") == other.as_str().replace('_', "-")
}
