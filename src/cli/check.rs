//! `bearerd check`: is the configuration right, does it get tokens, does the API take them?

use std::fmt::Write as _;
use std::process::ExitCode;

use super::fetch::{self, Outcome};
use super::output;
use super::run::complain;
use super::sources::{self, ConfigArgs};
use super::{CONFIGURATION, REFUSED, USAGE};
use crate::config::{self, Credential, Environment, Settings, Sources};

const HELP: &str = "\
Examples:
  bearerd check bearerd.toml
  bearerd check --fetch bearerd.toml
  bearerd check --probe '/items?limit=1' bearerd.toml

Exit codes: 0 all is well, 1 a token or an answer could not be had,
2 wrong usage, 77 the token endpoint refused the credentials,
78 the configuration is wrong.";

/// Validate a configuration and show every mistake; get a token, probe the API.
///
/// Reads every secret and certificate file that the configuration names. Connects to nobody unless asked to.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct CheckArgs {
    /// Get one token for each credential; show lifetime, scope and claims, never the token
    #[arg(long)]
    fetch: bool,
    /// Get tokens and GET this path from each route's upstream: a token is not yet an accepted token
    #[arg(long, value_name = "PATH", value_parser = parse_path)]
    probe: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Checks. The exit code is that of the worst that was found.
pub(super) fn run(args: &CheckArgs, environment: Environment) -> ExitCode {
    let sources = match args.config.sources(environment) {
        Ok(sources) => sources,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    // On the host it is checked before the service manager has made anything.
    let sources = Sources { before_start: true, ..sources };
    let settings = match config::load(&sources) {
        Ok(settings) => settings,
        Err(mistakes) => return complain(&args.config.explained(&mistakes, &sources), CONFIGURATION),
    };
    output::write(summary(&sources::title(&sources), &settings));
    if let Some(unread) = args.config.unread(&sources) {
        output::write(format!("warning: {unread}\n"));
    }
    if !args.fetch && args.probe.is_none() {
        return ExitCode::SUCCESS;
    }
    match fetch::run(&settings, args.probe.as_deref()) {
        Ok(Outcome::Well) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Refused) => ExitCode::from(REFUSED),
        Err(error) => complain(&crate::log::chain(&error), 1),
    }
}

/// What the configuration amounts to: its size, a line for each route, and what is worth a warning.
fn summary(title: &str, settings: &Settings) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let routes = count(settings.routes.len(), "route");
    let mut text = format!("{title} is valid: {routes}, {}\n", count(settings.credentials.len(), "credential"));
    for route in &settings.routes {
        let listen = if route.listen.is_empty() { &settings.listen } else { &route.listen };
        let _ = writeln!(text, "  {}", route.summary(listen, settings.tls.is_some()));
    }
    for detour in settings.credentials.iter().filter_map(Credential::detour) {
        let _ = writeln!(text, "  credential {detour}");
    }
    if let Some(store) = &settings.store {
        let _ = writeln!(text, "  store: {}", store.place);
    }
    let mut inherited: Vec<_> = settings.inherited.iter().map(|expected| &*expected.name).collect();
    inherited.sort_unstable();
    inherited.dedup();
    for name in inherited {
        let _ = writeln!(text, "  fd:{name} is checked at start: what systemd hands over is not known before");
    }
    for warning in &settings.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn parse_path(text: &str) -> Result<String, String> {
    match text.parse::<http::uri::PathAndQuery>() {
        Ok(_) if text.starts_with('/') => Ok(text.to_owned()),
        _ => Err("must be a path that begins with a slash, such as /items".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_goes_where() {
        let text = "[routes.items]\nupstream = \"https://api.example.com/v2/items\"\npath = \"/items\"\n\
            [credentials.api]\ntoken_endpoint = \"https://login.example.com\"\n\
            [credentials.spare]\ntoken_endpoint = \"https://login.example.com\"\n";
        let text = text.replace("path =", "credential = \"api\"\npath =");
        let settings = config::load_str(&text, std::path::Path::new("b.toml")).unwrap();
        assert_eq!(
            summary("b.toml", &settings),
            "b.toml is valid: 1 route, 2 credentials\n  \
             localhost:8080/items → https://api.example.com/v2/items with \"api\"\n\
             warning: b.toml:7:14: F007 credentials.spare: no route uses it\n"
        );
    }

    #[test]
    fn the_summary_says_where_tokens_are_kept() {
        let text = "[routes.items]\nupstream = \"https://api.example.com\"\ncredential = \"none\"\n\
            [store]\nseal_key = \"0123456789abcdef0123456789abcdef\"\n";
        let summary = |store: &str| {
            let settings = config::load_str(&format!("{text}{store}"), std::path::Path::new("/etc/b.toml"));
            summary("b.toml", &settings.unwrap())
        };
        for (store, line) in [
            ("kind = \"file\"\ndirectory = \"store\"", "  store: files in /etc/store\n"),
            (
                "kind = \"redis\"\nurl = \"rediss://[::1]/3\"\npassword = \"hunter2\"",
                "  store: redis at [::1]:6379, database 3 with TLS\n",
            ),
            (
                "kind = \"redis\"\nurl = [\"redis://a\", \"redis://b\"]\nsentinel = \"m\"",
                "  store: redis \"m\" of the sentinels a:26379, b:26379\n",
            ),
            ("kind = \"redis\"\nurl = \"redis://a\"\ncluster = true", "  store: redis cluster at a:6379\n"),
            ("kind = \"redis\"\nurl = \"unix:///run/r.sock\"", "  store: redis at unix:/run/r.sock\n"),
        ] {
            let summary = summary(store);
            assert!(summary.contains(line) && !summary.contains("hunter2"), "{summary}");
        }
    }

    #[test]
    fn the_summary_says_what_shows_only_at_start() {
        let text = "listen = [\"fd:web\", \"fd:app\"]\nadmin.listen = \"fd:admin\"\n\
            [routes.items]\nupstream = \"https://api.example.com\"\ncredential = \"none\"\n";
        let settings = config::load_str(text, std::path::Path::new("b.toml")).unwrap();
        let summary = summary("b.toml", &settings);
        for line in [
            "  fd:web/, fd:app/ → https://api.example.com/ without a token\n",
            "  fd:admin is checked at start: ",
            "  fd:app is checked at start: ",
            "  fd:web is checked at start: ",
        ] {
            assert!(summary.contains(line), "{summary}");
        }
    }

    #[test]
    fn a_probed_path_must_be_one() {
        assert!(parse_path("/items?limit=1").is_ok());
        assert!(parse_path("items").is_err());
        assert!(parse_path("/a b").is_err());
    }
}
