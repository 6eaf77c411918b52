//! Users and groups by name or number: `callers.uids` and `callers.gids`.
//!
//! Owns the reading of `/etc/passwd` and `/etc/group`. Refuses to ask name services: an answer that depends on a network would
//! decide who may call.

use std::path::Path;

use super::reader::Reader;
use crate::platform;
use crate::proxy::settings::Accounts;
use crate::reason::Reason;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Both lists; `None` if neither was written. `table` is where.
pub(super) fn read(reader: &Reader<'_>, table: &str) -> Option<Accounts> {
    if !reader.has("uids") && !reader.has("gids") {
        return None;
    }
    if let Err(why) = platform::ACCOUNTS {
        ["uids", "gids"].into_iter().filter(|key| reader.has(key)).for_each(|key| reader.wrong(key, why));
        return None;
    }
    let users = lines(PASSWD);
    let groups = lines(GROUP);
    let uids = ids(reader, "uids", ("user", PASSWD), &users);
    let gids = ids(reader, "gids", ("group", GROUP), &groups);
    let members = gids.iter().flat_map(|gid| members(*gid, &users, &groups)).collect();
    if let Some(nobody) = crate::process::unknown_user() {
        let key = if reader.has("uids") { "uids" } else { "gids" };
        let message = format!(
            "bearerd runs in a user namespace: callers outside of it all look like user {nobody}, and are refused; run it outside \
             (systemd: [Service] PrivateUsers=no)"
        );
        reader.warn(key, Reason::ConfigContradiction, message);
    }
    Some(Accounts { uids, gids, members, written_in: table.to_owned() })
}

/// The fields of each line of such a file (passwd(5), group(5)); none if there is no file.
fn lines(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read(Path::new(path)).unwrap_or_default();
    let fields = |line: &str| line.split(':').map(str::to_owned).collect();
    String::from_utf8_lossy(&text).lines().map(fields).collect()
}

fn ids(reader: &Reader<'_>, key: &str, (what, file): (&str, &str), known: &[Vec<String>]) -> Vec<u32> {
    let mut found = Vec::new();
    let Some(items) = reader.items(key) else { return found };
    if items.is_empty() {
        reader.wrong(key, "would let nobody in; leave it out to let every user of this machine in");
    }
    for node in items {
        let id = match &node.value {
            super::document::Value::Integer(number) => match u32::try_from(*number) {
                // The kernel's word for "none".
                Ok(id) if id != u32::MAX => Ok(id),
                _ => Err(format!("{number} is no number of a {what}")),
            },
            super::document::Value::Text(name) => named(name, known)
                .ok_or_else(|| format!("there is no {what} {:?} in {file}; write the number instead", name.as_str())),
            _ => Err(format!("must be the name or number of a {what}, not {}", node.kind())),
        };
        match id {
            Ok(id) => found.push(id),
            Err(message) => {
                reader.context().mistake(node.place.clone(), Reason::ConfigWrongValue, reader.dotted(key), message);
            }
        }
    }
    found
}

/// The third field of the line with this name, in both kinds of file.
fn named(name: &str, known: &[Vec<String>]) -> Option<u32> {
    let line = known.iter().find(|line| line.first().is_some_and(|first| first == name))?;
    line.get(2)?.parse().ok()
}

/// The users of a group: those whose own group it is, and those that it lists.
fn members(gid: u32, users: &[Vec<String>], groups: &[Vec<String>]) -> Vec<u32> {
    let is = |line: &[String], at: usize| line.get(at).is_some_and(|field| field.parse() == Ok(gid));
    let own = users.iter().filter(|line| is(line, 3)).filter_map(|line| line.get(2)?.parse().ok());
    let lists = groups.iter().filter(|line| is(line, 2)).filter_map(|line| line.get(3));
    let listed = lists.flat_map(|list| list.split(',')).filter_map(|name| named(name, users));
    own.chain(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<Vec<String>> {
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn a_group_has_those_whose_own_it_is_and_those_it_lists() {
        let users = table("root:x:0:0::/root:/bin/sh\nann:x:1001:50::/:/\nbob:x:1002:51::/:/\neve:x:1003:52::/:/");
        let groups = table("staff:x:50:bob,gone\nmail:x:51:");
        assert_eq!(members(50, &users, &groups), [1001, 1002]);
        assert_eq!(members(51, &users, &groups), [1002]);
        assert_eq!(members(7, &users, &groups), Vec::<u32>::new());
        assert_eq!(named("eve", &users), Some(1003));
        assert_eq!(named("staff", &groups), Some(50));
        assert_eq!(named("nobody", &users), None);
    }
}
