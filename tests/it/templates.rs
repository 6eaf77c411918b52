//! What `bearerd init` prints, against a server of that vendor's shape.
//!
//! Each row says what a vendor documents: where the token is asked for, who proves to be who and how, which fields are sent, what
//! an answer and a refusal look like, and which mistakes are refused. The fake accepts exactly that. The configuration is what the
//! real binary prints, with its placeholders set and with addresses and secrets of the test. Five vendors more are in
//! [`crate::vendors`], whose examples are templates too.

mod fake;
mod shapes;

use std::process::Command;

use toml::{Table, Value};

use crate::support::tls_front::Authority;
use crate::support::{
    BINARY, Ended, Reply, Request, Setup, TokenEndpoint, Tokens, Upstream, finish, seconds, throughout,
};
use fake::{Auth, KEY, SECRET, Shape};

/// A vendor's server, its API, and the template that is made for it.
struct Stage {
    endpoint: TokenEndpoint,
    upstream: Upstream,
    file: Table,
    setup: Setup,
    shape: &'static Shape,
}

fn init(arguments: &[String]) -> Ended {
    let mut command = Command::new(BINARY);
    command.arg("init").args(arguments).env_clear();
    finish(command, &Tokens::new(60).canaries().clone())
}

impl Stage {
    fn new(shape: &'static Shape) -> Self {
        let mut arguments = vec![shape.name.to_owned()];
        for (name, value) in shape.set {
            arguments.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        let printed = init(&arguments).expect_code(0);
        assert!(!printed.stderr.contains("replace YOUR"), "{}: a placeholder is left: {}", shape.name, printed.stderr);
        let mut file: Table = printed.stdout.parse().unwrap_or_else(|error| panic!("{}: {error}", shape.name));
        let tokens = Tokens::new(shape.lifetime);
        let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
        endpoint.always(fake::answer(shape));
        let setup = Setup::new(endpoint.canaries());
        endpoint.canaries().add_basic(shape.client_id, SECRET);
        let (credential, _) = only(&mut file, "credentials");
        let url = member(credential, "token_endpoint");
        assert_eq!(url.as_str(), Some(shape.endpoint), "{}", shape.name);
        redirect(url, &format!("http://{}", endpoint.address()));
        place_secrets(&setup, credential);
        let (route, _) = only(&mut file, "routes");
        redirect(member(route, "upstream"), &upstream.url());
        file.insert("listen".to_owned(), "127.0.0.1:0".into());
        file.insert("admin".to_owned(), "listen = \"127.0.0.1:0\"".parse::<Table>().unwrap().into());
        file.insert("log".to_owned(), "format = \"json\"".parse::<Table>().unwrap().into());
        Self { endpoint, upstream, file, setup, shape }
    }

    /// The setup of the template, edited.
    fn setup(&self, edit: impl Fn(&mut Table)) -> Setup {
        let mut file = self.file.clone();
        edit(&mut file);
        let (_, route) = only(&mut file, "routes");
        self.setup.clone().file(&toml::to_string(&file).unwrap(), &[&route])
    }

    /// `check --fetch` says that all is well, and a request comes through with a token.
    fn works(&self) {
        let mut file = self.file.clone();
        let setup = self.setup(|_| {});
        setup.run_verb("check").expect_code(0);
        let bearerd = setup.start_ready();
        let (_, route) = only(&mut file, "routes");
        Request::get("/anything").send(bearerd.address_of(&route)).expect(200);
        assert_eq!(self.endpoint.count(), 1, "{}", self.shape.name);
        let (_, credential) = only(&mut file, "credentials");
        let ends =
            bearerd.metric("bearerd_token_expiry_timestamp_seconds", &[("credential", credential.as_str())]).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let lives = ends - now;
        let wanted = self.shape.lifetime as f64;
        assert!((wanted - 60.0..=wanted + 2.0).contains(&lives), "{}: lives {lives} s, not {wanted}", self.shape.name);
        // The API takes the token back: the next request costs one more, and the caller nothing.
        self.endpoint.tokens().revoke_all();
        Request::get("/anything").send(bearerd.address_of(&route)).expect(200);
        assert_eq!(self.endpoint.count(), 2);
        assert_eq!(self.upstream.count(), 3);
    }

    /// A wrong secret is refused with the vendor's own words, and tried once.
    fn a_wrong_secret_is_told(&self) {
        let Some((status, _)) = self.shape.refusal else { return };
        let setup = self.setup(|_| {});
        match self.shape.auth {
            // The vendor knows the key no longer.
            Auth::Assertion { .. } => self.endpoint.always(Reply::json(status, self.shape.refusal.unwrap().1)),
            _ => spoil_secrets(setup.directory()),
        }
        let before = self.endpoint.count();
        let bearerd = setup.start();
        bearerd.wait_for_log(self.shape.code, 8.0);
        let line = bearerd.log_with(self.shape.code).join("\n");
        assert!(line.contains(self.shape.words) && line.contains(&status.to_string()), "{}: {line}", self.shape.name);
        throughout("one attempt", seconds(0.5), || self.endpoint.count() == before + 1);
    }

    /// What the vendor's documentation says is required is required.
    fn mistakes_are_told(&self) {
        for mistake in self.shape.mistakes {
            let setup = self.setup(|file| {
                let (credential, _) = only(file, "credentials");
                (mistake.edit)(credential.as_table_mut().unwrap());
            });
            let mut command = setup.command("check");
            command.arg("--fetch");
            let ended = finish(command, setup.canaries());
            // However the lines are broken.
            let told = ended.told().split_whitespace().collect::<Vec<_>>().join(" ");
            assert_ne!(ended.code, Some(0), "{}: {}: {told}", self.shape.name, mistake.what);
            assert!(told.contains(mistake.words), "{}: {}: {told}", self.shape.name, mistake.what);
        }
    }
}

/// Puts another secret into every file that holds the right one.
fn spoil_secrets(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains(SECRET) && path.extension().is_none() {
            std::fs::write(&path, "another-secret-9").unwrap();
        }
    }
}

/// A key as it stands inside JSON.
fn escaped(key: &str) -> String {
    key.replace('\n', "\\n")
}

fn only<'a>(file: &'a mut Table, table: &str) -> (&'a mut Value, String) {
    let mut members: Vec<_> = file.get_mut(table).unwrap().as_table_mut().unwrap().iter_mut().collect();
    assert_eq!(members.len(), 1, "{table}");
    let (name, value) = members.remove(0);
    (value, name.clone())
}

fn member<'a>(table: &'a mut Value, name: &str) -> &'a mut Value {
    table.get_mut(name).unwrap_or_else(|| panic!("no {name}"))
}

/// Replaces scheme and authority of a URL.
fn redirect(url: &mut Value, to: &str) {
    let text = url.as_str().unwrap();
    let path = text.split_once("://").unwrap().1.split_once('/').map(|(_, path)| format!("/{path}"));
    *url = format!("{to}{}", path.unwrap_or_default()).into();
}

/// Every `{ file = … }` becomes a file of the test: the key where a pointer or a name says so, else the secret.
fn place_secrets(setup: &Setup, value: &mut Value) {
    let Some(table) = value.as_table_mut() else { return };
    let pointer = table.get("pointer").and_then(Value::as_str).map(str::to_owned);
    if let Some(path) = table.get("file").and_then(Value::as_str).map(str::to_owned) {
        let name = path.rsplit('/').next().unwrap().to_owned();
        let text = match pointer {
            Some(pointer) => {
                format!("{{\"type\":\"service_account\",\"{}\":\"{}\"}}", pointer.trim_start_matches('/'), escaped(KEY))
            }
            None if name.ends_with(".pem") => KEY.to_owned(),
            None => format!("{SECRET}\n"),
        };
        let path = setup.secret_file(&name, &text);
        table.insert("file".to_owned(), path.to_str().unwrap().into());
        return;
    }
    table.iter_mut().for_each(|(_, member)| place_secrets(setup, member));
}

macro_rules! templates {
    ($($test:ident => $shape:ident),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                let stage = Stage::new(&shapes::$shape);
                stage.works();
                stage.mistakes_are_told();
                // Last: it spoils the files.
                stage.a_wrong_secret_is_told();
            }
        )*

        const TESTED: &[&Shape] = &[$(&shapes::$shape),*];
    };
}

templates! {
    okta => OKTA,
    entra => ENTRA,
    keycloak => KEYCLOAK,
    google => GOOGLE,
    cognito => COGNITO,
    ping => PING,
    zitadel => ZITADEL,
    zitadel_with_a_key => ZITADEL_JWT,
    authentik => AUTHENTIK,
    salesforce => SALESFORCE,
    salesforce_with_a_key => SALESFORCE_JWT,
    sap => SAP,
    servicenow => SERVICENOW,
    adobe => ADOBE,
    docusign => DOCUSIGN,
    paypal => PAYPAL,
    twilio => TWILIO,
    zoom => ZOOM,
}

#[test]
fn sap_with_a_certificate() {
    let arguments = ["sap-mtls", "--set", "subdomain=acme", "--set", "region=eu10", "--set", "client_id=sb-a!t1"];
    let printed = init(&arguments.map(str::to_owned)).expect_code(0);
    let mut file: Table = printed.stdout.parse().unwrap();
    let tokens = Tokens::new(43_199);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    endpoint.always(fake::answer(&shapes::SAP_MTLS));
    let setup = Setup::new(endpoint.canaries());
    let authority = Authority::new();
    let (front, shown) = authority.front_for_clients("localhost", endpoint.address());
    let ca = authority.file(setup.directory(), "ca.pem");
    authority.issue("sap").write(setup.directory(), "sap");
    let (credential, _) = only(&mut file, "credentials");
    assert_eq!(member(credential, "token_endpoint").as_str(), Some(shapes::SAP_MTLS.endpoint));
    redirect(member(credential, "token_endpoint"), &format!("https://localhost:{}", front.port()));
    let tls = member(credential, "tls").as_table_mut().unwrap();
    assert_eq!(tls.keys().collect::<Vec<_>>(), ["certificate", "key"]);
    let own = |name: &str| setup.directory().join(name).to_str().unwrap().to_owned();
    tls.insert("ca".to_owned(), ca.to_str().unwrap().into());
    tls.insert("certificate".to_owned(), own("sap.pem").into());
    tls.insert("key".to_owned(), own("sap.key").into());
    let (route, name) = only(&mut file, "routes");
    redirect(member(route, "upstream"), &upstream.url());
    // Whatever certificate the token is bound to goes to the API as well; this API has no TLS.
    file.insert("listen".to_owned(), "127.0.0.1:0".into());
    file.insert("admin".to_owned(), "listen = \"127.0.0.1:0\"".parse::<Table>().unwrap().into());
    file.insert("log".to_owned(), "format = \"json\"".parse::<Table>().unwrap().into());
    let setup = setup.file(&toml::to_string(&file).unwrap(), &[&name]);
    let bearerd = setup.start_ready();
    Request::get("/x").send(bearerd.address_of(&name)).expect(200);
    assert_eq!((endpoint.count(), shown.lock().unwrap().len()), (1, 1));
}

#[test]
fn every_template_is_tested() {
    let listed = init(&[]).expect_code(0).stdout;
    let names = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap().to_owned());
    let mut names: Vec<String> = names.collect();
    let elsewhere = ["auth0", "klearstack", "orglogin", "stretch", "wrapped", "sap-mtls"];
    let mut tested: Vec<String> = TESTED.iter().map(|shape| shape.name).chain(elsewhere).map(str::to_owned).collect();
    names.sort();
    tested.sort();
    assert_eq!(names, tested);
}

#[test]
fn an_unknown_vendor_is_wrong_usage_and_the_nearest_is_named() {
    let ended = init(&["keyclok".to_owned()]).expect_code(2);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("did you mean keycloak?"), "{}", ended.told());
    let ended = init(&["azure".to_owned(), "--set".to_owned(), "domain=x".to_owned()]).expect_code(2);
    assert!(ended.stderr.contains("but tenant_id, client_id"), "{}", ended.told());
}
