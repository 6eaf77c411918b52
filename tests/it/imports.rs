//! Lines of vendors' documentation, imported by the real binary, and what comes of it: a configuration that gets a token from a
//! server which wants exactly the request of that line.
//!
//! The lines are as their pages have them. Where a page leaves a placeholder, the test does what the printed comment says.

use std::io::Write as _;
use std::process::{Command, Stdio};

use toml::{Table, Value};

use crate::support::canaries::Canaries;
use crate::support::token_endpoint::TokenRequest;
use crate::support::{BINARY, Ended, Reply, Request, Setup, TokenEndpoint, Tokens, Upstream, finish};

/// What every secret of a line becomes.
const SECRET: &str = "imported/canary+secret-7";

struct Line {
    title: &'static str,
    line: &'static str,
    /// Path and query.
    target: &'static str,
    /// Before the first semicolon.
    content_type: &'static str,
    basic: Option<&'static str>,
    fields: &'static [(&'static str, &'static str)],
    /// `TOKEN` is replaced.
    answer: &'static str,
    /// What no line of curl can say: where the answer keeps the token.
    response: &'static str,
    /// Placeholders that the output must name.
    names: &'static [&'static str],
}

const FORM: &str = "application/x-www-form-urlencoded";
const STANDARD: &str = r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":3600}"#;
const CLIENT: (&str, &str) = ("grant_type", "client_credentials");

const LINES: &[Line] = &[
    Line {
        title: "auth0, Call Your API Using the Client Credentials Flow",
        line: r"curl --request POST \
  --url 'https://{yourDomain}/oauth/token' \
  --header 'content-type: application/x-www-form-urlencoded' \
  --data grant_type=client_credentials \
  --data client_id=YOUR_CLIENT_ID \
  --data client_secret=YOUR_CLIENT_SECRET \
  --data audience=YOUR_API_IDENTIFIER",
        target: "/oauth/token",
        content_type: FORM,
        basic: None,
        fields: &[
            CLIENT,
            ("client_id", "YOUR_CLIENT_ID"),
            ("client_secret", SECRET),
            ("audience", "YOUR_API_IDENTIFIER"),
        ],
        answer: r#"{"access_token":"TOKEN","token_type":"Bearer","expires_in":86400,"scope":"read:items"}"#,
        response: "",
        names: &["{yourDomain}", "YOUR_CLIENT_ID", "YOUR_API_IDENTIFIER"],
    },
    Line {
        title: "klearstack, Get Access Token",
        line: "curl -X POST URL/access/klearstack/get_access_token \\\n  -H \"Content-Type: application/x-www-form-urlencoded\" \\\n  \
            -d \"username=Replace_User_Name_Here&company_name=Replace_Company_Name_Here&password=Replace_Password_Here\"",
        target: "/access/klearstack/get_access_token",
        content_type: FORM,
        basic: None,
        fields: &[
            ("username", "Replace_User_Name_Here"),
            ("company_name", "Replace_Company_Name_Here"),
            ("password", SECRET),
        ],
        answer: r#"{"refresh_token":"TOKEN","access_token":"TOKEN","release_version":"7.8.9"}"#,
        response: "",
        names: &["url.example", "Replace_User_Name_Here", "Replace_Company_Name_Here"],
    },
    Line {
        title: "klearstack, the same as a form of several parts",
        line: "curl --location \"URL/access/klearstack/get_access_token\" \\\n  --form \"username=Replace_User_Name_Here\" \\\n  \
            --form \"company_name=Replace_Company_Name_Here\" \\\n  --form \"password=Replace_Password_Here\"",
        target: "/access/klearstack/get_access_token",
        content_type: "multipart/form-data",
        basic: None,
        fields: &[
            ("username", "Replace_User_Name_Here"),
            ("company_name", "Replace_Company_Name_Here"),
            ("password", SECRET),
        ],
        answer: r#"{"refresh_token":"TOKEN","access_token":"TOKEN","release_version":"7.8.9"}"#,
        response: "",
        names: &["url.example"],
    },
    Line {
        title: "wrapped, OAuth Authentication",
        line: "curl -X POST \"${API_URL}/auth/token\" \\\n-H \"Content-Type: application/x-www-form-urlencoded\" \\\n\
            -d \"client_id=YOUR_CLIENT_ID\" \\\n-d \"client_secret=YOUR_CLIENT_SECRET\"",
        target: "/auth/token",
        content_type: FORM,
        basic: None,
        fields: &[("client_id", "YOUR_CLIENT_ID"), ("client_secret", SECRET)],
        answer: r#"{"data":{"access_token":"TOKEN","token_type":"Bearer","expires_in":3600}}"#,
        response: "access_token = \"/data/access_token\"\nexpires_in = \"/data/expires_in\"",
        names: &["$API_URL", "api-url.example"],
    },
    Line {
        title: "orglogin, Login",
        line: r"curl --request POST \
  --url https://example.com/api/v1/auth/login \
  --header 'Content-Type: application/x-www-form-urlencoded' \
  --data client_id=example \
  --data client_secret=example \
  --data grant_type=example \
  --data password=example \
  --data scope= \
  --data username=example",
        target: "/api/v1/auth/login",
        content_type: FORM,
        basic: None,
        fields: &[
            ("grant_type", "password"),
            ("client_id", "example"),
            ("client_secret", SECRET),
            ("username", "example"),
            ("password", SECRET),
            ("scope", ""),
        ],
        answer: r#"{"orgs":[],"access_token":"TOKEN"}"#,
        response: "",
        names: &["GUESSED"],
    },
    // Its page has a table of fields and no curl line: this is the table as one, in the JSON that it allows.
    Line {
        title: "stretch, gateway login",
        line: r#"curl -X POST https://<your-gateway>/api/v1/gateway/auth/login -H "Content-Type: application/json" -d '{"username": "<username>", "password": "<password>", "grant_type": "password"}'"#,
        target: "/api/v1/gateway/auth/login",
        content_type: "application/json",
        basic: None,
        fields: &[("grant_type", "password"), ("username", "<username>"), ("password", SECRET)],
        answer: r#"{"access_token":"TOKEN","token_type":"bearer"}"#,
        response: "",
        names: &["<your-gateway>"],
    },
    Line {
        title: "Zitadel, Configure client credential authentication for service users",
        line: r#"curl --request POST \
  --url https://$CUSTOM-DOMAIN/oauth/v2/token \
  --header 'Content-Type: application/x-www-form-urlencoded' \
  --data grant_type=client_credentials \
  --data scope='openid profile' \
  --user "$CLIENT_ID:$CLIENT_SECRET""#,
        target: "/oauth/v2/token",
        content_type: FORM,
        basic: Some("env-CLIENT_ID:env-CLIENT_SECRET"),
        fields: &[CLIENT, ("scope", "openid profile")],
        answer: STANDARD,
        response: "",
        names: &["custom-domain.example"],
    },
    Line {
        title: "PayPal, Authentication",
        line: r#"curl -v -X POST "https://api-m.sandbox.paypal.com/v1/oauth2/token"\
  -u "CLIENT_ID:CLIENT_SECRET"\
  -H "Content-Type: application/x-www-form-urlencoded"\
  -d "grant_type=client_credentials""#,
        target: "/v1/oauth2/token",
        content_type: FORM,
        basic: Some("CLIENT_ID:SECRET"),
        fields: &[CLIENT],
        answer: STANDARD,
        response: "",
        names: &["CLIENT_ID"],
    },
    Line {
        title: "PingOne, Get a token",
        line: r"curl --location --globoff '{{authPath}}/{{envID}}/as/token' \
--header 'Content-Type: application/x-www-form-urlencoded' \
--header 'Authorization: Basic e3t1c2VDYXNlV29ya2VyQXBwSUR9fTp7e3VzZUNhc2VXb3JrZXJBcHBTZWNyZXR9fQ==' \
--data-urlencode 'grant_type=client_credentials'",
        target: "/envID/as/token",
        content_type: FORM,
        basic: Some("{{useCaseWorkerAppID}}:SECRET"),
        fields: &[CLIENT],
        answer: STANDARD,
        response: "",
        names: &["{{authPath}}", "{{envID}}", "{{useCaseWorkerAppID}}"],
    },
    Line {
        title: "Twilio, OAuth Token API",
        line: "curl --location 'https://oauth.twilio.com/v2/token' \\\n--header 'Content-Type: application/x-www-form-urlencoded' \\\n\
            --data-urlencode 'client_id={ClientID}' \\\n--data-urlencode 'client_secret={ClientSecret}' \\\n\
            --data-urlencode 'grant_type=client_credentials'",
        target: "/v2/token",
        content_type: FORM,
        basic: None,
        fields: &[CLIENT, ("client_id", "{ClientID}"), ("client_secret", SECRET)],
        answer: r#"{"access_token":"TOKEN","id_token":null,"token_type":"Bearer","expires_in":3600,"refresh_token":null}"#,
        response: "",
        names: &["{ClientID}", "{ClientSecret}"],
    },
    Line {
        title: "Salesforce, Connect to Connect REST API Using OAuth",
        line: "curl -X POST https://instance_name.my.salesforce.com/services/oauth2/token -d 'grant_type=client_credentials' \
            -d 'client_id=3MVG9VwZxxW3bBQjhE6m21CG2nSS4WC' -d 'client_secret=8A4BE698BCA216718ECB0B1DCA294C69732EAD9472A1790F8FED38DD2E02B5FA'",
        target: "/services/oauth2/token",
        content_type: FORM,
        basic: None,
        fields: &[CLIENT, ("client_id", "3MVG9VwZxxW3bBQjhE6m21CG2nSS4WC"), ("client_secret", SECRET)],
        answer: r#"{"access_token":"TOKEN","instance_url":"https://x","token_type":"Bearer","issued_at":"1627237872637"}"#,
        response: "",
        names: &["64 characters"],
    },
    Line {
        title: "ServiceNow, OAuth API request parameters",
        line: "$ curl -d\"grant_type=password&client_id=be3aeb583ace210011c15b24a43e25d8\n&client_secret=client_password\n\
            &username=admin&password=admin\" \nhttps://instancename.service-now.com/oauth_token.do",
        target: "/oauth_token.do",
        content_type: FORM,
        basic: None,
        fields: &[
            ("grant_type", "password"),
            ("client_id", "be3aeb583ace210011c15b24a43e25d8"),
            ("client_secret", SECRET),
            ("username", "admin"),
            ("password", SECRET),
        ],
        answer: STANDARD,
        response: "",
        names: &["15 characters"],
    },
    Line {
        title: "Zoom, Server-to-Server OAuth",
        line: "curl -X POST \"https://zoom.us/oauth/token\" \\\n  -H \"Authorization: Basic $(echo -n '{clientId}:{clientSecret}' | base64)\" \\\n  \
            -H \"Content-Type: application/x-www-form-urlencoded\" \\\n  -d \"grant_type=account_credentials&account_id={accountId}\"",
        target: "/oauth/token",
        content_type: FORM,
        basic: Some("{clientId}:SECRET"),
        fields: &[("grant_type", "account_credentials"), ("account_id", "{accountId}")],
        answer: STANDARD,
        response: "",
        names: &["{accountId}"],
    },
    Line {
        title: "Cognito, a script around the line",
        line: "DOMAIN=https://sample.auth.ap-northeast-1.amazoncognito.com\nAPP_CLIENT_ID=xxx\nAPP_CLIENT_SECRET=yyy\n\
            curl -s -X POST ${DOMAIN}/oauth2/token \\\n\
            -H \"Authorization: Basic $(echo -n ${APP_CLIENT_ID}:${APP_CLIENT_SECRET} | base64 )\" \\\n\
            -H \"Content-Type: application/x-www-form-urlencoded\" \\\n-d \"grant_type=client_credentials\" \\\n-d \"client_id=${APP_CLIENT_ID}\"",
        target: "/oauth2/token",
        content_type: FORM,
        basic: Some("env-APP_CLIENT_ID:env-APP_CLIENT_SECRET"),
        fields: &[CLIENT, ("client_id", "env-APP_CLIENT_ID")],
        answer: STANDARD,
        response: "",
        names: &["sample.auth.ap-northeast-1.amazoncognito.com"],
    },
];

/// Runs a verb of `import` with this on standard input.
fn import(arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(BINARY);
    command.arg("import").args(arguments).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Does what the comments say: every secret in its place, every address that of the test.
fn prepared(printed: &str, line: &Line, endpoint: &TokenEndpoint, upstream: &Upstream) -> Setup {
    let mut file: Table = printed.parse().unwrap_or_else(|error| panic!("{}: {error}\n{printed}", line.title));
    let mut setup = Setup::new(endpoint.canaries());
    std::fs::create_dir(setup.directory().join("secrets")).unwrap();
    let (_, credential) = file["credentials"].as_table_mut().unwrap().iter_mut().next().unwrap();
    let credential = credential.as_table_mut().unwrap();
    let url = credential["token_endpoint"].as_str().unwrap();
    let path = url.splitn(4, '/').nth(3).unwrap();
    let url = format!("http://{}/{path}", endpoint.address());
    credential.insert("token_endpoint".to_owned(), url.into());
    if !line.response.is_empty() {
        credential.insert("response".to_owned(), line.response.parse::<Table>().unwrap().into());
    }
    for value in credential.iter_mut().map(|(_, value)| value) {
        setup = placed(setup, value);
    }
    let (route, settings) = file["routes"].as_table_mut().unwrap().iter_mut().next().unwrap();
    settings.as_table_mut().unwrap().insert("upstream".to_owned(), upstream.url().into());
    let route = route.clone();
    file.insert("listen".to_owned(), "127.0.0.1:0".into());
    file.insert("admin".to_owned(), "listen = \"127.0.0.1:0\"".parse::<Table>().unwrap().into());
    file.insert("log".to_owned(), "format = \"json\"".parse::<Table>().unwrap().into());
    setup.file(&toml::to_string(&file).unwrap(), &[&route])
}

fn placed(mut setup: Setup, value: &Value) -> Setup {
    let Some(table) = value.as_table() else { return setup };
    for (name, member) in table {
        match (name.as_str(), member.as_str()) {
            ("file", Some(path)) => {
                setup.secret_file(path, SECRET);
            }
            ("env", Some(name)) => setup = setup.env(name, &format!("env-{name}")),
            _ => setup = placed(setup, member),
        }
    }
    setup
}

/// Whether the request is that of the line; else what is other.
fn judge(line: &Line, request: &TokenRequest) -> Result<(), String> {
    let kind = request.fields.first("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let basic =
        line.basic.map(|pair| pair.strip_suffix(":SECRET").map_or(pair.to_owned(), |id| format!("{id}:{SECRET}")));
    let mut wanted: Vec<(String, String)> =
        line.fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let mut found: Vec<(String, String)> = match kind {
        "application/json" => {
            let body = request.json();
            body.as_object().unwrap().iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned())).collect()
        }
        "multipart/form-data" => parts(&request.text()),
        _ => request.form(),
    };
    wanted.sort();
    found.sort();
    let same = request.method == "POST"
        && request.target == line.target
        && kind == line.content_type
        && request.basic() == basic
        && found == wanted;
    let names = |fields: &[(String, String)]| fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(" ");
    let told =
        || format!("{} {} {kind} {} {}", request.method, request.target, request.basic().is_some(), names(&found));
    if same { Ok(()) } else { Err(told()) }
}

/// The fields of multipart/form-data.
fn parts(body: &str) -> Vec<(String, String)> {
    let parts = body.split("--bearerd-").filter_map(|part| {
        let (_, rest) = part.split_once("name=\"")?;
        let (name, rest) = rest.split_once('"')?;
        Some((name.to_owned(), rest.trim_start_matches("\r\n").trim_end_matches("\r\n").to_owned()))
    });
    parts.collect()
}

#[test]
fn lines_of_documentation_become_credentials_that_work() {
    assert!(LINES.len() >= 10);
    for line in LINES {
        let printed = import(&["curl", "-"], line.line).expect_code(0);
        for name in line.names {
            assert!(printed.told().contains(name), "{}: {name} is not in\n{}", line.title, printed.told());
        }
        assert!(printed.stderr.contains("bearerd check --fetch FILE"), "{}", printed.stderr);
        assert!(!printed.told().contains("8A4BE698"), "{}", printed.told());
        let tokens = Tokens::new(3_600);
        let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
        endpoint.always(Reply::custom(move |request, tokens| match judge(line, request) {
            Ok(()) => Reply::json(200, line.answer.replace("TOKEN", &tokens.issue())),
            Err(what) => Reply::text(400, "text/plain", &what),
        }));
        let setup = prepared(&printed.stdout, line, &endpoint, &upstream);
        let mut command = setup.command("check");
        command.arg("--fetch");
        let checked = finish(command, setup.canaries());
        assert_eq!(checked.code, Some(0), "{}: {}\n{}", line.title, checked.told(), printed.stdout);
        let bearerd = setup.start_ready();
        Request::get("/x").send(bearerd.address_of(&setup.route_names()[0])).expect(200);
    }
}

#[test]
fn a_line_comes_in_one_argument_in_many_or_on_standard_input() {
    let words = ["curl", "-u", "svc:s3cr3t-canary", "-d", "grant_type=client_credentials", "https://login.acme.com/t"];
    let whole = words.join(" ");
    let ways: [(Vec<&str>, &str); 4] = [
        (vec!["curl", &whole], ""),
        (["curl", "--"].into_iter().chain(words).collect(), ""),
        (["curl"].into_iter().chain(words).collect(), ""),
        (vec!["curl"], &whole),
    ];
    for (arguments, input) in ways {
        let ended = import(&arguments, input).expect_code(0);
        assert!(
            ended.stdout.contains("[credentials.acme]") && ended.stdout.contains("client_id = \"svc\""),
            "{}",
            ended.told()
        );
        assert!(!ended.told().contains("s3cr3t-canary"), "{}", ended.told());
    }
    let ended =
        import(&["curl", "--name", "billing", "--upstream", "https://api.acme.com/v2", "-"], &whole).expect_code(0);
    assert!(ended.stdout.contains("[routes.billing]\nupstream = \"https://api.acme.com/v2\"\n"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("replace upstream"), "{}", ended.stderr);
}

#[test]
fn who_has_saved_the_lines_is_not_told_to_save_them() {
    let setup = Setup::new(&Canaries::default());
    let line = "curl -d grant_type=client_credentials https://login.acme.com/t";
    for arguments in [["import", "curl", line].as_slice(), &["init", "keycloak"]] {
        let run = |stdout: Stdio| {
            let output = Command::new(BINARY).args(arguments).env_clear().stdout(stdout).output().unwrap();
            String::from_utf8(output.stderr).unwrap()
        };
        let path = setup.directory().join("saved.toml");
        let told = run(std::fs::File::create(&path).unwrap().into());
        assert!(std::fs::read_to_string(&path).unwrap().contains("[credentials."), "{told}");
        assert!(told.contains("next:\n  replace ") && !told.contains("save the lines above"), "{told}");
        let told = run(Stdio::piped());
        assert!(told.contains("next:\n  save the lines above in a file"), "{told}");
    }
}

#[test]
fn what_cannot_be_imported_says_where_and_why() {
    let refused = |line: &str, code: i32, words: &str| {
        let ended = import(&["curl", "-"], line).expect_code(code);
        assert!(ended.stdout.is_empty() && ended.stderr.contains(words), "{line}: {}", ended.told());
    };
    refused("curl -k https://login.acme.com/t", 1, "column 6: -k: bearerd never leaves a certificate unchecked");
    refused(
        "curl https://login.acme.com/t \\\n  --json '{\"a\":{\"b\":1}}'",
        1,
        "line 2, column 10: the JSON member \"a\"",
    );
    refused("", 1, "the line must begin with curl");
    let ended = import(&["curl", "--", "curl", "-k", "https://x"], "").expect_code(1);
    assert!(ended.stderr.contains("argument 2: -k"), "{}", ended.told());
    import(&["wget"], "").expect_code(2);
    import(&[], "").expect_code(2);
}

#[test]
fn blocks_of_prometheus_become_credentials_that_work() {
    let tokens = Tokens::new(300);
    let (endpoint, upstream) = (TokenEndpoint::start(&tokens), Upstream::start(&tokens));
    let setup = Setup::new(&Canaries::default());
    setup.secret_file("prom.secret", SECRET);
    let text = format!(
        "scrape_configs:\n  - job_name: node\n    oauth2:\n      client_id: prom\n      client_secret_file: prom.secret\n      \
         scopes: [metrics]\n      token_url: {}\n      endpoint_params:\n        audience: node\n",
        endpoint.url()
    );
    let path = setup.directory().join("prometheus.yml");
    std::fs::write(&path, text).unwrap();
    let printed = import(&["prometheus", path.to_str().unwrap()], "").expect_code(0);
    let mut file: Table = printed.stdout.parse().unwrap();
    file["routes"]["node"].as_table_mut().unwrap().insert("upstream".to_owned(), upstream.url().into());
    file.insert("listen".to_owned(), "127.0.0.1:0".into());
    file.insert("admin".to_owned(), "listen = \"127.0.0.1:0\"".parse::<Table>().unwrap().into());
    file.insert("log".to_owned(), "format = \"json\"".parse::<Table>().unwrap().into());
    let bearerd = setup.file(&toml::to_string(&file).unwrap(), &["node"]).start_ready();
    Request::get("/metrics").send(bearerd.address_of("node")).expect(200);
    let request = endpoint.requests().remove(0);
    assert_eq!(request.basic().as_deref(), Some("prom:imported%2Fcanary%2Bsecret-7"));
    let wanted = [("grant_type", "client_credentials"), ("scope", "metrics"), ("audience", "node")];
    assert_eq!(request.form(), wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let ended = import(&["prometheus", "-"], "oauth2: [").expect_code(1);
    assert!(ended.stderr.contains("is not YAML"), "{}", ended.told());
}
