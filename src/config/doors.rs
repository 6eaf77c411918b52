//! Where a configuration has its admin and probe listeners, without reading the rest of it.
//!
//! Owns that shortcut for those who ask a running bearerd: a probe must not read secrets, run commands for them, or say unwell because
//! a file is being edited.

use super::context::Context;
use super::document::{self, Table};
use super::mistake::Place;
use super::reader::Reader;
use super::{AdminSettings, Sources, admin, overlay, read_file, root};

/// `[admin]`; `None` if it cannot be told.
pub fn admin_listeners(sources: &Sources) -> Option<AdminSettings> {
    let (mut table, whole, base) = match &sources.file {
        Some(path) => {
            let table = document::parse(&read_file(path).ok()?, &path.to_string_lossy()).ok()?;
            (table, document::whole(path), path.parent()?.to_owned())
        }
        None => (Table::default(), Place::CommandLine, std::path::PathBuf::new()),
    };
    let context = Context::new(&sources.environment, base, whole.clone(), true);
    overlay::apply(&context, &mut table, &sources.flags, sources.file.is_some());
    let reader = Reader::new(&context, Some(&table), whole, "", &root::KEYS);
    let (settings, _) = admin::read(&reader.table("admin", &admin::KEYS));
    drop(reader);
    let (mistakes, _) = context.finish();
    let is_clear = !mistakes.iter().any(|mistake| mistake.key.starts_with("admin"));
    is_clear.then_some(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn found(text: Option<&str>, variables: &[(&str, &str)]) -> Option<[Option<String>; 2]> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.toml");
        std::fs::write(&path, text.unwrap_or_default()).unwrap();
        let environment = Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let sources = Sources { file: text.map(|_| path), environment, ..Sources::default() };
        let settings = admin_listeners(&sources)?;
        Some([settings.listen, settings.probe_listen].map(|address| address.map(|address| address.to_string())))
    }

    #[test]
    fn listeners_are_found_whatever_else_is_wrong() {
        let check = |text: Option<&str>, variables: &[(&str, &str)], listen: Option<&str>, probe: Option<&str>| {
            let wanted = [listen, probe].map(|address| address.map(str::to_owned));
            assert_eq!(found(text, variables), Some(wanted), "{text:?} {variables:?}");
        };
        let usual = Some("localhost:9180");
        check(Some(""), &[], usual, None);
        check(Some("unknown = 1\n[routes.a]\nupstream = 7\n"), &[], usual, None);
        check(Some("[credentials.a]\nclient_secret = { file = \"/no/such\" }\n"), &[], usual, None);
        check(Some("[admin]\nlisten = \"127.0.0.2:1\"\n"), &[], Some("127.0.0.2:1"), None);
        let both = "[admin]\nlisten = \"off\"\nprobe_listen = \"0.0.0.0:9181\"\n";
        check(Some(both), &[], None, Some("0.0.0.0:9181"));
        check(Some(both), &[("BEARERD_ADMIN_LISTEN", "localhost:5")], Some("localhost:5"), Some("0.0.0.0:9181"));
        check(None, &[("BEARERD_PROBE_LISTEN", "0.0.0.0:6")], usual, Some("0.0.0.0:6"));
    }

    #[test]
    fn what_cannot_be_told_is_not_guessed() {
        assert_eq!(found(Some("[admin"), &[]), None);
        assert_eq!(found(Some("[admin]\nlisten = \"8\"\n"), &[]), None);
    }
}
