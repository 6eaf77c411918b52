//! Steps, refresh, revocation, answers and places of the token: what may be written, and what is said of the rest.

use std::path::Path;

use super::load_str;
use crate::oauth::settings::{Elsewhere, Encoding, Format, Param, Settings, Whence};
use crate::proxy::settings::Inject;

fn text(credential: &str) -> String {
    format!(
        "[routes.a]\nupstream = \"https://a.example\"\n[credentials.c]\ntoken_endpoint = \"https://l.example/t\"\n{credential}\n"
    )
}

fn oauth(credential: &str) -> Settings {
    let settings = load_str(&text(credential), Path::new("b.toml"));
    settings.unwrap_or_else(|mistakes| panic!("{credential}: {mistakes}")).credentials.remove(0).oauth
}

fn check_mistakes(credential: &str, wanted: &[&str]) {
    let Err(mistakes) = load_str(&text(credential), Path::new("b.toml")) else { panic!("{credential} was taken") };
    let text = mistakes.to_string();
    assert_eq!(mistakes.count(), wanted.len(), "{credential}: {text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "{credential}: {wanted:?} is not in {text}");
    }
}

const STEP: &str = "[[credentials.c.steps]]\nname = \"login\"\nurl = \"https://l.example/login\"";

#[test]
fn values_may_come_from_the_steps_before() {
    let settings = oauth(&format!(
        "params = {{ a = {{ step = \"login\", pointer = \"/s\" }} }}\nheaders = {{ b = {{ step = \"two\", cookie = \"SID\", prefix = \"S \" }} }}\n\
         {STEP}\nparams = {{ p = \"x\", n = 1 }}\n[[credentials.c.steps]]\nname = \"two\"\nurl = \"https://m.example/\"\nmethod = \"GET\"\n\
         headers = {{ c = {{ step = \"login\", header = \"X-S\" }} }}\nexpect_status = 302"
    ));
    let [login, two] = settings.login.steps.as_slice() else { panic!("{settings:?}") };
    assert_eq!(
        (login.shape.encoding, login.shape.method.as_str(), login.shape.params.len()),
        (Encoding::Form, "POST", 2)
    );
    assert_eq!((two.shape.encoding, two.expect_status.as_slice()), (Encoding::Query, &[302][..]));
    let whence = |param: &Param| match param {
        Param::Login(reference) => (reference.whence.clone(), reference.prefix.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(whence(&settings.params[0].1), (Whence::Pointer("login".to_owned(), "/s".to_owned()), String::new()));
    assert_eq!(whence(&settings.headers[0].1), (Whence::Cookie("two".to_owned(), "SID".to_owned()), "S ".to_owned()));
    let header = Whence::Header("login".to_owned(), http::HeaderName::from_static("x-s"));
    assert_eq!(whence(&two.shape.headers[0].1).0, header);
}

#[test]
fn references_that_lead_nowhere_are_told() {
    let check = |param: &str, wanted: &[&str]| check_mistakes(&format!("params = {{ a = {param} }}\n{STEP}"), wanted);
    check(
        "{ step = \"logn\", pointer = \"/s\" }",
        &["F005 credentials.c.params.a: there is no step \"logn\" here: there are \"login\"; did you mean \"login\"?"],
    );
    check(
        "{ step = \"login\" }",
        &[
            "F006 credentials.c.params.a: must say where in the step's answer: exactly one of pointer, header and cookie",
        ],
    );
    check("{ step = \"login\", pointer = \"/s\", cookie = \"s\" }", &["exactly one of pointer, header and cookie"]);
    check("{ step = \"login\", pointer = \"s\" }", &["pointer must be a JSON Pointer"]);
    check("{ step = \"login\", header = \"a b\" }", &["header must be the name of a header field"]);
    check("{ step = \"login\", pointr = \"/s\" }", &["F003 credentials.c.params.a: unknown key \"pointr\"; it takes"]);
    check("{ step = 1, pointer = \"/s\" }", &["step must be a string, not an integer"]);
    check(
        "{ access_token = true }",
        &["there is no access token yet: { access_token = true } is for [credentials.NAME.revocation]"],
    );
    check("{ refresh_token = true }", &["is for refresh and revocation"]);
    let later = format!("{STEP}\nparams = {{ a = {{ step = \"login\", pointer = \"/s\" }} }}");
    check_mistakes(&later, &["there is no step \"login\" here: there is none before this request"]);
    check_mistakes("params = { a = { step = \"x\", cookie = \"y\" } }", &["[[credentials.NAME.steps]] makes one"]);
}

#[test]
fn a_step_says_what_it_lacks() {
    check_mistakes(
        "[[credentials.c.steps]]\nurl = \"https://l.example/\"",
        &["F006 credentials.c.steps.name: is required"],
    );
    check_mistakes("[[credentials.c.steps]]\nname = \"a\"", &["F006 credentials.c.steps.url: is required"]);
    check_mistakes(
        "[[credentials.c.steps]]\nname = \"a\"\nurl = \"http://l.example/\"",
        &["F008 credentials.c.steps.url: plain http"],
    );
    check_mistakes(&format!("{STEP}\n{STEP}"), &["is the name of an earlier step too"]);
    check_mistakes(&format!("{STEP}\nexpect_status = [404]"), &["integers from 200 to 399"]);
    check_mistakes(&format!("{STEP}\nbody = {{ a = 1 }}"), &["unknown key; did you mean \"params\"?"]);
    check_mistakes(&format!("{STEP}\nheaders = {{ content-length = \"1\" }}"), &["is set by bearerd itself"]);
}

#[test]
fn a_refresh_is_like_the_token_request_but_for_what_is_written() {
    assert!(oauth("[credentials.c.refresh]\nwait = \"1s\"").login.refresh.is_none());
    let like = "method = \"PUT\"\nencoding = \"json\"\nparams = { a = \"1\" }\ngrant_type = \"none\"\n[credentials.c.refresh]\n";
    let settings = oauth(&format!("{like}endpoint = \"https://l.example/r\""));
    assert!(settings.use_refresh_token, "who describes a refresh wants one");
    let refresh = settings.login.refresh.unwrap();
    assert_eq!(
        (refresh.shape.method.as_str(), refresh.shape.encoding, refresh.shape.params.len()),
        ("PUT", Encoding::Json, 1)
    );
    assert_eq!(
        (refresh.grant_type.as_deref(), refresh.token_field.as_deref()),
        (Some("refresh_token"), Some("refresh_token"))
    );
    let refresh = oauth(&format!(
        "{like}grant_type = \"none\"\nparams = {{}}\nheaders = {{ authorization = {{ refresh_token = true, prefix = \"Bearer \" }} }}"
    ));
    let refresh = refresh.login.refresh.unwrap();
    assert_eq!((refresh.grant_type, refresh.token_field, refresh.shape.params.len()), (None, None, 0));
    assert!(refresh.shape.endpoint.is_none());
    check_mistakes(
        "[credentials.c.refresh]\nendpoint = \"http://l.example/\"",
        &["F008 credentials.c.refresh.endpoint"],
    );
    check_mistakes(
        "[credentials.c.refresh]\nparams = { a = { access_token = true } }",
        &["there is no access token yet"],
    );
}

#[test]
fn a_revocation_needs_an_endpoint_and_is_for_the_end() {
    let at = |rest: &str| format!("[credentials.c.revocation]\nendpoint = \"https://l.example/r\"\n{rest}");
    let revocation = oauth(&at("")).login.revocation.unwrap();
    assert!(revocation.on_shutdown);
    assert_eq!(revocation.token_field.as_deref(), Some("token"));
    let logout = oauth(&at("on_shutdown = false\nheaders = { a = { access_token = true } }")).login.revocation.unwrap();
    assert_eq!((logout.on_shutdown, logout.token_field), (false, None));
    check_mistakes(
        "[credentials.c.revocation]\non_shutdown = true",
        &["F006 credentials.c.revocation.endpoint: is required"],
    );
    check_mistakes(
        &at("params = { a = { access_token = true, refresh_token = true } }"),
        &["either access_token or refresh_token"],
    );
    check_mistakes(&at("params = { a = { access_token = false } }"), &["access_token must be true, not a boolean"]);
    let only = format!("refresh_token = \"r\"\n{}", at(""));
    let Err(mistakes) = load_str(&text(&only), Path::new("b.toml")) else { panic!("was taken") };
    assert!(mistakes.to_string().contains("would give back the only credential"), "{mistakes}");
    let issuer = "[routes.a]\nupstream = \"https://a.example\"\n[credentials.c]\nissuer = \"https://l.example\"\n[credentials.c.revocation]\n";
    let settings = load_str(issuer, Path::new("b.toml")).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(settings.credentials[0].oauth.login.revocation.as_ref().unwrap().shape.endpoint.is_none());
}

#[test]
fn a_token_stands_in_one_place_of_the_answer_and_goes_to_one_place_upstream() {
    let response = |rest: &str| oauth(&format!("[credentials.c.response]\n{rest}")).response;
    assert_eq!(response("format = \"xml\"").format, Format::Xml);
    assert_eq!(response("access_token_cookie = \"SID\"").elsewhere, Some(Elsewhere::Cookie("SID".to_owned())));
    let both = "[credentials.c.response]\naccess_token_header = \"x\"\naccess_token_cookie = \"y\"";
    check_mistakes(
        both,
        &["access_token_cookie: is written besides access_token_header: the token stands in one place only"],
    );
    check_mistakes(
        "[credentials.c.response]\nformat = \"yaml\"",
        &["must be \"auto\", \"json\", \"form\" or \"xml\", not \"yaml\""],
    );
    check_mistakes(
        "[credentials.c.inject]\nheader = \"x\"\nquery = \"y\"",
        &["inject.query: is written besides header: the token goes to one place"],
    );
    check_mistakes(
        "[credentials.c.inject]\nscheme = \"x\"\ncookie = \"y\"",
        &["inject.scheme: means something with a header only"],
    );
    check_mistakes("[credentials.c.inject]\ncookie = \"a b\"", &["must be the name of a cookie"]);
    check_mistakes("[credentials.c.inject]\nquery = \"a&b\"", &["must be the name of a parameter"]);
}

#[test]
fn a_route_may_put_the_token_elsewhere() {
    let load = |credential: &str, route: &str| {
        let text = text(&format!("[credentials.c.inject]\n{credential}\n[routes.a.inject]\n{route}"));
        let settings = load_str(&text, Path::new("b.toml")).unwrap_or_else(|mistakes| panic!("{text}: {mistakes}"));
        (
            settings.routes[0].route.inject.clone(),
            settings.credentials[0].oauth.legal,
            settings.credentials[0].token.scheme.clone(),
        )
    };
    let (inject, legal, scheme) = load("", "query = \"key\"");
    assert_eq!((inject, scheme.as_deref()), (Inject::Query("key".to_owned()), Some("Bearer")));
    assert!(!legal.bearer && !legal.header && !legal.cookie);
    let (inject, legal, scheme) = load("cookie = \"SID\"", "");
    assert_eq!((inject, scheme), (Inject::Cookie("SID".to_owned()), None));
    assert!(!legal.bearer && !legal.header && legal.cookie);
    let (inject, legal, _) = load("cookie = \"SID\"", "header = \"x-token\"");
    assert_eq!((inject.header().map(http::HeaderName::as_str), inject.scheme()), (Some("x-token"), Some("Bearer")));
    assert!(legal.bearer && legal.header && !legal.cookie);
}

#[test]
fn a_login_that_could_lock_an_account_is_tried_rarely() {
    let check = |credential: &str, wanted: bool| {
        let settings = load_str(&text(credential), Path::new("b.toml")).unwrap_or_else(|m| panic!("{credential}: {m}"));
        assert_eq!(settings.credentials[0].token.lockout, wanted, "{credential}");
    };
    check("", false);
    check("username = \"u\"\npassword = \"p\"", true);
    check(STEP, true);
    check(&format!("lockout = false\n{STEP}"), false);
    for name in ["Password", "j_password", "userPwd", "login.pass", "user[passwd]", "passphrase", "PIN", "PASSWORD"] {
        check(&format!("params = {{ \"{name}\" = \"p\" }}"), true);
    }
    check("lockout = false\nparams = { Password = \"p\" }", false);
    for name in ["compass", "passport", "pinned", "spin", "bypass", "company", "passwordless"] {
        check(&format!("params = {{ {name} = \"p\" }}"), false);
    }
}
