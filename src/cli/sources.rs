//! Where a configuration comes from: the file, the flags and variables, and which file if none is named.

use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::overlay::{self, SETTINGS, Setting, Shape};
use crate::config::{Environment, Given, Mistakes, Sources};
use crate::platform::{NOT_IN_USUAL_PLACES, USUAL_PLACES};

/// What `run` and `check` take alike.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[cfg_attr(unix, doc = "The configuration [default: ./bearerd.toml, then /etc/bearerd/bearerd.toml]")]
    #[cfg_attr(windows, doc = "The configuration [default: .\\bearerd.toml]")]
    ///
    /// Every flag below replaces its key in the file that is named. Without a named file, one of those for a route or a credential
    /// describes a whole proxy, and no file is looked for. Each is also a variable, as named in brackets; flags win over variables,
    /// variables over the file.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same as FILE [env: BEARERD_CONFIG]
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// Make unknown keys warnings, so that an older binary runs a newer file
    #[arg(long, env = "BEARERD_IGNORE_UNKNOWN_KEYS", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    ignore_unknown_keys: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// The flags that set keys, as `config::overlay` lists them.
#[derive(Debug)]
struct SettingArgs(Vec<Given>);

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().filter(|setting| setting.is_flag()).map(argument).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let argument = Arg::new(setting.flag)
        .long(setting.flag)
        .value_name(setting.value_name)
        .help(format!("{} [env: {}]", setting.help, setting.variable()))
        .help_heading(setting.heading)
        .action(ArgAction::Append);
    match setting.shape {
        // `--keep-host` alone is true; a value needs the sign, or it would swallow the file's name.
        Shape::Boolean | Shape::Share => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => argument,
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &'static Setting| {
            let values = matches.get_many::<String>(setting.flag)?;
            Some(Given { setting, values: values.cloned().collect() })
        };
        Ok(Self(SETTINGS.iter().filter(|setting| setting.is_flag()).filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Nothing says what to do.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no configuration: {}, and neither flags nor BEARERD_… \
     variables say what to forward to

The smallest file, complete:

    [routes.api]
    upstream = \"https://api.example.com\"

    [credentials.api]
    token_endpoint = \"https://login.example.com/oauth/token\"
    client_id      = \"my-client\"
    client_secret  = {{ file = \"/run/secrets/client_secret\" }}

The same without a file:

    bearerd run --upstream https://api.example.com --token-endpoint https://login.example.com/oauth/token \\
        --client-id my-client --client-secret-file /run/secrets/client_secret

To see it work first: bearerd demo",
    NOT_IN_USUAL_PLACES
)]
pub(super) struct NoConfiguration;

impl ConfigArgs {
    /// The sources to load, with the file that is meant.
    ///
    /// # Errors
    /// [`NoConfiguration`] if there is no file and nothing else describes a route or a credential.
    pub(super) fn sources(&self, environment: Environment) -> Result<Sources, NoConfiguration> {
        Ok(Sources {
            file: self.file(&environment, USUAL_PLACES)?,
            flags: self.settings.0.clone(),
            environment,
            ignore_unknown_keys: self.ignore_unknown_keys,
            before_start: false,
            starts: false,
        })
    }

    /// What to say of the file that is there and is not read.
    pub(super) fn unread(&self, sources: &Sources) -> Option<String> {
        self.unread_in(sources, USUAL_PLACES)
    }

    /// All mistakes, and the file that may have been meant.
    pub(super) fn explained(&self, mistakes: &Mistakes, sources: &Sources) -> String {
        let unread = self.unread(sources).map(|line| format!("\n{line}")).unwrap_or_default();
        format!("{}{unread}", mistakes.to_string().trim_end())
    }

    fn unread_in(&self, sources: &Sources, usual_places: &[&str]) -> Option<String> {
        if sources.file.is_some() {
            return None;
        }
        let by_flag = self.settings.0.iter().find(|given| given.setting.is_about_routes());
        let by_flag = by_flag.map(|given| format!("--{}", given.setting.flag));
        let because = by_flag.or_else(|| overlay::variable_about_routes(&sources.environment))?;
        let file = usual_places.iter().find(|place| Path::new(place).exists())?;
        Some(format!(
            "{} was found but is not read, because {because} describes a whole proxy; to read it: --config {file}",
            here(file)
        ))
    }

    fn file(&self, environment: &Environment, usual_places: &[&str]) -> Result<Option<PathBuf>, NoConfiguration> {
        let named = self.file.clone().or_else(|| self.config.clone()).or_else(|| environment.configuration_file());
        if named.is_some() {
            return Ok(named);
        }
        let by_flags = self.settings.0.iter().any(|given| given.setting.is_about_routes());
        if by_flags || overlay::environment_describes_routes(environment) {
            return Ok(None);
        }
        let found = usual_places.iter().map(Path::new).find(|path| path.exists());
        found.map(|path| Some(path.to_owned())).ok_or(NoConfiguration)
    }
}

/// A file of the working directory is recognised sooner so.
fn here(file: &str) -> String {
    if file.contains('/') { file.to_owned() } else { format!("./{file}") }
}

/// The file that is used if none is named.
pub(super) fn usual_file() -> Option<PathBuf> {
    USUAL_PLACES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// How messages call the configuration.
pub(super) fn title(sources: &Sources) -> String {
    sources.file.as_ref().map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{self, ListenAddress, Settings};
    use crate::oauth::settings::{ClientAuthentication, GrantType};
    use crate::secret::SecretSource;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: ConfigArgs,
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    fn sources(arguments: &[&str], variables: &[(&str, &str)]) -> Sources {
        let arguments = ["run"].iter().chain(arguments);
        Line::try_parse_from(arguments).unwrap().config.sources(environment(variables)).unwrap()
    }

    fn load(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Settings, Mistakes> {
        config::load(&sources(arguments, variables))
    }

    const WHOLE: &[&str] =
        &["--upstream=https://api.example.com/v2", "--token-endpoint=https://login.example.com/t", "--client-id=me"];

    fn whole<'a>(more: &[&'a str]) -> Vec<&'a str> {
        WHOLE.iter().chain(more).copied().collect()
    }

    /// The one mistake of a command line, as a line of text.
    fn mistake(arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let mistakes = load(arguments, variables).unwrap_err();
        assert_eq!(mistakes.count(), 1, "{mistakes}");
        mistakes.iter().next().unwrap().to_string()
    }

    #[test]
    fn flags_alone_make_a_whole_sidecar() {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "hunter2\n").unwrap();
        let secret = secret.to_str().unwrap();
        let more = [
            "--client-secret-file",
            secret,
            "--audience=a",
            "--scope=",
            "--param=company_name=Acme, Inc=x",
            "--param-file",
            &format!("pin={secret}"),
            "--listen=localhost:1",
            "--listen=127.0.0.2:1",
            "--probe-listen=0.0.0.0:9181",
            "--access-log",
            "--keep-host=false",
            "--workers=3",
            "--log-level=debug",
        ];
        let settings = load(&whole(&more), &[]).unwrap();
        assert_eq!(settings.listen.len(), 2);
        assert_eq!(settings.admin.probe_listen.unwrap().to_string(), "0.0.0.0:9181");
        assert!(settings.log.access == crate::log::Share::ALL && !settings.routes[0].route.keep_host);
        assert_eq!((settings.workers, settings.log.level), (3, tracing::Level::DEBUG));
        let oauth = &settings.credentials[0].oauth;
        assert_eq!((oauth.scope.as_deref(), oauth.audience.as_deref()), (Some(""), Some("a")));
        assert_eq!(oauth.params[0].0, "company_name");
        assert_eq!(oauth.params[1].0, "pin");
        assert!(matches!(oauth.client, ClientAuthentication::Basic { .. }));
        assert_eq!(settings.routes[0].route.name, "default");
        assert_eq!(settings.credentials[0].token.name, "default");
    }

    #[test]
    fn variables_alone_make_a_whole_sidecar() {
        let variables = [
            ("BEARERD_UPSTREAM", "https://api.example.com"),
            ("BEARERD_TOKEN_ENDPOINT", "https://login.example.com/t"),
            ("BEARERD_USERNAME", "u"),
            ("BEARERD_PASSWORD", "hunter2\n"),
            ("BEARERD_LISTEN", "localhost:1, 127.0.0.2:1"),
            ("BEARERD_PARAM", "company_name=Acme, Inc\nb=c"),
            ("BEARERD_AUDIENCE", ""),
            // A Service called `bearerd` and another called `bearerd-api` are in the namespace.
            ("BEARERD_SERVICE_HOST", "10.0.0.1"),
            ("BEARERD_SERVICE_PORT_HTTP", "80"),
            ("BEARERD_PORT", "tcp://10.0.0.1:80"),
            ("BEARERD_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("BEARERD_API_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("BEARERD_API_SERVICE_HOST", "10.0.0.1"),
        ];
        let settings = load(&[], &variables).unwrap();
        let oauth = &settings.credentials[0].oauth;
        assert_eq!(oauth.grant, GrantType::Password);
        assert_eq!(oauth.params.len(), 2);
        assert_eq!(oauth.audience, None);
        assert_eq!(settings.listen.len(), 2);
        let Some(SecretSource::Env { name, value }) = &oauth.password else { panic!("{oauth:?}") };
        assert_eq!((name.as_str(), value.expose()), ("BEARERD_PASSWORD", "hunter2"));
    }

    #[test]
    fn flags_win_over_variables_and_variables_over_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bearerd.toml");
        let text = "listen = \"localhost:1\"\n[routes.items]\nupstream = \"https://file.example\"\n\
            [credentials.login]\ntoken_endpoint = \"https://login.example.com\"\nscope = \"file\"\naudience = \"file\"\n";
        std::fs::write(&path, text).unwrap();
        let variables = [("BEARERD_SCOPE", "variable"), ("BEARERD_UPSTREAM", "https://variable.example")];
        let arguments = [path.to_str().unwrap(), "--upstream=https://flag.example"];
        let settings = load(&arguments, &variables).unwrap();
        let credential = &settings.credentials[0];
        assert_eq!(settings.listen, [ListenAddress::Localhost(1)]);
        assert_eq!(settings.routes[0].route.upstream.host(), Some("flag.example"));
        assert_eq!(settings.routes[0].route.name, "items");
        assert_eq!(credential.token.name, "login");
        assert_eq!(credential.oauth.scope.as_deref(), Some("variable"));
        assert_eq!(credential.oauth.audience.as_deref(), Some("file"));
        std::fs::write(&path, format!("{text}[routes.b]\npath = \"/b\"\nupstream = \"https://b.example\"\n")).unwrap();
        let mistakes = load(&arguments, &[]).unwrap_err().to_string();
        assert!(mistakes.starts_with("--upstream: F007: the file has several routes"), "{mistakes}");
    }

    #[test]
    fn a_mistake_in_a_flag_or_variable_names_it() {
        let check = |arguments: &[&str], variables: &[(&str, &str)], wanted: &str| {
            let line = mistake(arguments, variables);
            assert!(line.starts_with(wanted), "{wanted:?} is not the beginning of {line:?}");
        };
        let flag = |flag: &str, wanted: &str| check(&whole(&[flag]), &[], wanted);
        flag("--listen=8080", "--listen: F005 listen: needs a host: \"localhost:8080\"");
        flag(
            "--listen=0.0.0.0:8080",
            "--listen: F009 listen: 0.0.0.0:8080 can be reached from other machines; say who \
            may call: add --allow-from",
        );
        flag("--workers=many", "--workers: F005 workers: must be an integer");
        flag("--encoding=xml", "--encoding: F005 credentials.default.encoding: must be");
        flag("--param=x", "--param: F005 credentials.default.params: must be NAME=VALUE");
        flag(
            "--client-secret-file=no/such",
            "--client-secret-file: F010 credentials.default.client_secret: cannot read",
        );
        check(
            &["--upstream=https://a.example"],
            &[],
            "command line: F006 credentials.default.token_endpoint: is \
            required: --token-endpoint https://login.example.com/oauth/token (or BEARERD_TOKEN_ENDPOINT)",
        );
        check(
            &["--token-endpoint=https://a.example"],
            &[],
            "command line: F006 routes.default.upstream: is required: \
            --upstream https://api.example.com (or BEARERD_UPSTREAM)",
        );
        check(
            &whole(&["--username=x", "--grant-type=password"]),
            &[],
            "command line: F006 \
            credentials.default.password: is required by the grant \"password\": --password-file FILE (or BEARERD_PASSWORD)",
        );
        let variable = |name: &str, value: &str, wanted: &str| check(WHOLE, &[(name, value)], wanted);
        variable("BEARERD_UPSTRAEM", "x", "BEARERD_UPSTRAEM: F003: unknown variable; did you mean BEARERD_UPSTREAM?");
        variable(
            "BEARERD_CLIENT_SECRET",
            "",
            "BEARERD_CLIENT_SECRET: F010 credentials.default.client_secret: the \
            environment variable \"BEARERD_CLIENT_SECRET\" is empty",
        );
        variable("BEARERD_ACCESS_LOG", "perhaps", "BEARERD_ACCESS_LOG: F005 log.access: must be true or false");
        let plain = ["--upstream=http://a.example", "--token-endpoint=https://a.example"];
        check(&plain, &[], "--upstream: F008");
        load(&[plain[0], plain[1], "--allow-plain-http"], &[]).unwrap();
        let open = ["--listen=0.0.0.0:1", "--allow-from=any"];
        load(&whole(&open), &[]).unwrap();
        let both = [("BEARERD_PASSWORD", "a"), ("BEARERD_PASSWORD_FILE", "b"), ("BEARERD_USERNAME", "c")];
        let mistakes = load(WHOLE, &both).unwrap_err().to_string();
        assert!(mistakes.contains("BEARERD_PASSWORD: F007: stands beside BEARERD_PASSWORD_FILE"), "{mistakes}");
    }

    #[test]
    fn a_file_is_looked_for_unless_something_describes_a_route() {
        let directory = tempfile::tempdir().unwrap();
        let usual = directory.path().join("bearerd.toml");
        let places = [usual.to_str().unwrap()];
        let file = |arguments: &[&str], variables: &[(&str, &str)]| {
            let line = Line::try_parse_from(["run"].iter().chain(arguments)).unwrap();
            line.config.file(&environment(variables), &places)
        };
        assert!(file(&[], &[]).unwrap_err().to_string().contains("[routes.api]"));
        assert!(file(&["--workers=1"], &[]).is_err());
        std::fs::write(&usual, "").unwrap();
        assert_eq!(file(&[], &[]).unwrap(), Some(usual.clone()));
        assert_eq!(file(&["--workers=1"], &[("BEARERD_LOG_LEVEL", "debug")]).unwrap(), Some(usual.clone()));
        let unread = |arguments: &[&str], variables: &[(&str, &str)]| {
            let line = Line::try_parse_from(["run"].iter().chain(arguments)).unwrap();
            let file = line.config.file(&environment(variables), &places).unwrap();
            let sources = Sources { file, environment: environment(variables), ..Sources::default() };
            line.config.unread_in(&sources, &places).unwrap_or_default()
        };
        let by_flag = unread(&["--scope=a"], &[]);
        assert!(by_flag.contains("was found but is not read, because --scope describes"), "{by_flag}");
        assert!(by_flag.ends_with(&format!("--config {}", places[0])), "{by_flag}");
        assert!(unread(&[], &[("BEARERD_CLIENT_ID", "a")]).contains("because BEARERD_CLIENT_ID describes"));
        assert_eq!(unread(&["--workers=1"], &[]), "");
        assert_eq!(unread(&["--scope=a", "--config", places[0]], &[]), "");
        assert_eq!(file(&["--upstream=x"], &[]).unwrap(), None);
        assert_eq!(file(&[], &[("BEARERD_UPSTREAM", "x")]).unwrap(), None);
        assert_eq!(file(&["a.toml"], &[("BEARERD_CONFIG", "b.toml")]).unwrap(), Some("a.toml".into()));
        assert_eq!(file(&["--config=a.toml"], &[]).unwrap(), Some("a.toml".into()));
        assert_eq!(file(&[], &[("BEARERD_CONFIG", "b.toml")]).unwrap(), Some("b.toml".into()));
    }

    #[test]
    fn every_target_of_a_flag_is_a_key_that_is_obeyed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        std::fs::write(&file, "x").unwrap();
        let mut looped = 0;
        for setting in SETTINGS {
            let variable = setting.variable();
            let value = match setting.shape {
                Shape::Pairs | Shape::PairFiles => format!("a={}", file.display()),
                _ => file.display().to_string(),
            };
            let mistakes = load(&[], &[("BEARERD_LOCKOUT", "true"), (&variable, &value)]).unwrap_err();
            // The value may be wrong; the key may not.
            assert!(!mistakes.to_string().contains("F003"), "{variable}: {mistakes}");
            looped += 1;
        }
        assert!(looped > 40);
    }
}
