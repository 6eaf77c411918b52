//! Which answers hold a token, and which do not.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::super::testing::settings;
use super::*;

fn times() -> WallTimes {
    WallTimes { sent: SystemTime::now(), arrived: SystemTime::now(), date: None }
}

fn issued(body: &str, change: impl FnOnce(&mut Settings)) -> Issued {
    let mut settings = settings();
    change(&mut settings);
    read(body.as_bytes(), &HeaderMap::new(), &settings, &times())
        .unwrap_or_else(|defect| panic!("{body} gave {defect:?}"))
}

fn check_defect(body: impl AsRef<[u8]>, understood: bool, words: &str, change: impl FnOnce(&mut Settings)) {
    let mut settings = settings();
    change(&mut settings);
    let body = body.as_ref();
    let shown = String::from_utf8_lossy(body.get(..80).unwrap_or(body)).into_owned();
    let why = match read(body, &HeaderMap::new(), &settings, &times()) {
        Ok(_) => panic!("{shown} was accepted"),
        Err(Defect::NotUnderstood(why)) => {
            assert!(!understood, "{shown} should have been understood, gave {why}");
            why
        }
        Err(Defect::NoToken { why, .. } | Defect::NotBound(why)) => {
            assert!(understood, "{shown} should not have been understood, gave {why}");
            why
        }
    };
    assert!(why.contains(words), "{shown} gave {why:?}, which does not contain {words:?}");
}

fn with_token(token: &str) -> String {
    serde_json::json!({ "access_token": token }).to_string()
}

#[test]
fn the_success_answers_of_the_five_vendors_are_read() {
    let stretch = issued(r#"{"access_token":"abc","token_type":"Bearer"}"#, |_| {});
    assert_eq!((stretch.access_token.expose(), stretch.lifetime), ("abc", Duration::from_secs(3600)));

    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoiYWNjZXNzIiwiZXhwIjoxNjU2NTc2MDM4LCJpYXQiOjE2NTY1NzU5MTh9.c2ln";
    let body = format!(r#"{{"refresh_token":"{jwt}","access_token":"{jwt}","release_version":"7.8.9"}}"#);
    let klearstack = issued(&body, |_| {});
    assert_eq!(klearstack.lifetime, Duration::from_secs(120));
    assert_eq!(klearstack.refresh_token.unwrap().expose(), jwt);

    let auth0 = issued(
        r#"{"access_token":"a.b-c_d","token_type":"Bearer","expires_in":86400,"scope":"read:messages"}"#,
        |_| {},
    );
    assert_eq!((auth0.lifetime.as_secs(), auth0.scope.as_deref()), (86400, Some("read:messages")));

    let wrapped =
        r#"{"data": {"access_token": "sk-418e41", "token_type": "Bearer", "expires_in": 3600, "scope": "s"}}"#;
    let wrapped = issued(wrapped, |s| {
        s.response.access_token = "/data/access_token".to_owned();
        s.response.expires_in = "/data/expires_in".to_owned();
    });
    assert_eq!((wrapped.access_token.expose(), wrapped.scope.as_deref()), ("sk-418e41", Some("s")));

    let orglogin = issued(r#"{"orgs": [{"id": 1}], "access_token": "t"}"#, |_| {});
    assert_eq!(orglogin.access_token.expose(), "t");
}

#[test]
fn a_refresh_token_is_found_beside_what_cannot_be_used() {
    let check = |body: &str, wanted: Option<&str>| {
        let found = stray_refresh_token(body.as_bytes(), &HeaderMap::new(), &settings());
        assert_eq!(found.as_ref().map(Secret::expose), wanted, "{body}");
    };
    check(r#"{"token":"a","refresh_token":"r"}"#, Some("r"));
    check(r#"{"data":{"token":"a","refresh_token":"r"}}"#, Some("r"));
    check(r#"{"refresh_token":"","a":{"b":{"refresh_token":"r"}}}"#, Some("r"));
    check(r#"{"a":{"b":{"c":{"d":{"e":{"refresh_token":"r"}}}}}}"#, None);
    check(r#"{"refresh_token":1}"#, None);
    check("<html>", None);
    check("", None);
}

#[test]
fn the_whole_answer_can_be_the_token() {
    let whole = |s: &mut Settings| s.response.access_token = String::new();
    assert_eq!(issued("\"abc\"", whole).access_token.expose(), "abc");
    assert_eq!(issued("abc.def\n", whole).access_token.expose(), "abc.def");
    assert_eq!(issued("12345", whole).access_token.expose(), "12345");
    check_defect("{}", true, "the whole answer is not a text", whole);
    check_defect("null", true, "null", whole);
    check_defect("two words", true, "RFC 6750", whole);
}

#[test]
fn a_token_must_be_one_legal_header_value() {
    for legal in ["a", "a=", "-._~+/09azAZ==", "00D5e!AQ.x", &"x".repeat(LONGEST_TOKEN)] {
        assert_eq!(issued(&with_token(legal), |_| {}).access_token.expose(), legal);
    }
    let refused = ["a b", "a\0", "a\r\nX: y", "zoë", "=", "a=b", "a|b", "a,b", "\"", " a", "a\n"];
    for illegal in refused {
        check_defect(with_token(illegal), true, "RFC 6750", |_| {});
    }
    check_defect(with_token(&"x".repeat(LONGEST_TOKEN + 1)), true, "longer than 16 KiB", |_| {});
    check_defect(with_token(""), true, "is empty", |_| {});
    check_defect(r#"{"access_token":1}"#, true, "is not a text", |_| {});
    check_defect(r#"{"access_token":null}"#, true, "is null", |_| {});
    check_defect(r#"{"access_token":["a"]}"#, true, "is not a text", |_| {});
    check_defect(
        r#"{"token":"a","data":{},"%":1}"#,
        true,
        "there is no /access_token; the answer has: data, token",
        |_| {},
    );
    check_defect("[]", true, "there is no /access_token", |_| {});
    check_defect("null", true, "there is no /access_token", |_| {});
}

#[test]
fn other_schemes_take_any_visible_ascii() {
    let other = |s: &mut Settings| s.legal.bearer = false;
    assert_eq!(issued(&with_token("a|b,\"c"), other).access_token.expose(), "a|b,\"c");
    assert_eq!(issued(r#"{"access_token":"a","token_type":"MAC"}"#, other).access_token.expose(), "a");
    check_defect(with_token("a b"), true, "no header", other);
    check_defect(with_token("a\r\nX: y"), true, "no header", other);
    check_defect(with_token("ä"), true, "no header", other);
}

#[test]
fn a_token_type_that_is_present_must_be_bearer() {
    let with_type = |kind: &str| format!(r#"{{"access_token":"a","token_type":{kind}}}"#);
    for accepted in ["\"Bearer\"", "\"bearer\"", "\"BEARER\"", "\"\"", "null"] {
        issued(&with_type(accepted), |_| {});
    }
    check_defect(with_type("\"MAC\""), true, "\"MAC\" and not Bearer", |_| {});
    check_defect(with_type("7"), true, "not a text", |_| {});
}

#[test]
fn with_dpop_only_a_bound_token_is_used() {
    let with_dpop = |s: &mut Settings| s.dpop = Some(super::super::dpop::KeySource::Generated);
    for accepted in ["DPoP", "dpop", "DPOP"] {
        issued(&format!(r#"{{"access_token":"a","token_type":"{accepted}"}}"#), with_dpop);
    }
    check_defect(r#"{"access_token":"a","token_type":"Bearer"}"#, true, "\"Bearer\" and not DPoP", with_dpop);
    check_defect(r#"{"access_token":"a"}"#, true, "no token_type", with_dpop);
    check_defect(r#"{"access_token":"a","token_type":null}"#, true, "no token_type", with_dpop);
    check_defect(r#"{"access_token":"a b","token_type":"DPoP"}"#, true, "RFC 6750", with_dpop);
    check_defect(r#"{"access_token":"a","token_type":"DPoP"}"#, true, "and not Bearer", |_| {});
}

#[test]
fn what_is_not_json_of_one_meaning_is_not_understood() {
    check_defect("", false, "empty body", |_| {});
    check_defect(" \n", false, "empty body", |_| {});
    check_defect("<html>Log in</html>", false, "page", |_| {});
    check_defect(r#"{"access_token":"a"#, false, "cut off", |_| {});
    check_defect(r#"{"access_token":"a"} x"#, false, "not valid JSON", |_| {});
    check_defect("access_token=a&token_type=bearer", false, "not valid JSON", |s| s.response.format = Format::Json);
    check_defect(r#"{"access_token":"a","access_token":"b"}"#, false, "a member comes twice", |_| {});
    check_defect(r#"{"access_token":"a","x":{"y":1,"y":1}}"#, false, "a member comes twice", |_| {});
    check_defect(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), false, "recursion limit", |_| {});
    check_defect("{\"x\":".repeat(10_000), false, "recursion limit", |_| {});
    check_defect(b"\xff\xfe{\0}\0", false, "UTF-16", |_| {});
    check_defect(b"{\"access_token\":\"\xff\"}", false, "not UTF-8", |_| {});
    check_defect(b"\x1f\x8b\x08\0\0", false, "not UTF-8", |_| {});
}

#[test]
fn forms_and_xml_are_read_like_json() {
    let form =
        issued("access_token=abc&expires=120&refresh_token=r", |s| s.response.expires_in = "/expires".to_owned());
    assert_eq!((form.access_token.expose(), form.lifetime.as_secs()), ("abc", 120));
    assert_eq!(form.refresh_token.unwrap().expose(), "r");
    let xml = "<s:Envelope xmlns:s=\"urn:s\"><s:Body><Login><token t=\"x\">abc</token><expires_in>60</expires_in></Login></s:Body></s:Envelope>";
    let xml = issued(xml, |s| {
        s.response.access_token = "/Envelope/Body/Login/token".to_owned();
        s.response.expires_in = "/Envelope/Body/Login/expires_in".to_owned();
    });
    assert_eq!((xml.access_token.expose(), xml.lifetime.as_secs()), ("abc", 60));
    let twice = "<oauth><access_token>a</access_token><access_token>b</access_token></oauth>";
    let pointed = |s: &mut Settings| s.response.access_token = "/oauth/access_token".to_owned();
    check_defect(twice, true, "/oauth/access_token is not a text", pointed);
    check_defect("<oauth><token>a</token></oauth>", true, "the answer has: oauth", pointed);
}

#[test]
fn a_token_may_come_outside_of_the_body() {
    let read = |lines: &[(&'static str, &'static str)], body: &str, elsewhere: Elsewhere| {
        let mut settings = settings();
        settings.response.elsewhere = Some(elsewhere);
        let name = |name| HeaderName::from_static(name);
        let headers: HeaderMap = lines.iter().map(|(n, value)| (name(n), value.parse().unwrap())).collect();
        match read(body.as_bytes(), &headers, &settings, &times()) {
            Ok(issued) => Ok((issued.access_token.expose().to_owned(), issued.lifetime.as_secs())),
            Err(Defect::NoToken { why, .. } | Defect::NotBound(why) | Defect::NotUnderstood(why)) => Err(why),
        }
    };
    let header = || Elsewhere::Header(HeaderName::from_static("x-auth-token"));
    let cookie = || Elsewhere::Cookie("SID".to_owned());
    let token = |token: &str, lifetime| Ok((token.to_owned(), lifetime));
    assert_eq!(read(&[("x-auth-token", "abc")], "", header()), token("abc", 3600));
    assert_eq!(read(&[("x-auth-token", "Bearer abc")], "{\"expires_in\":60}", header()), token("abc", 60));
    assert_eq!(read(&[("x-auth-token", "a"), ("x-auth-token", "a")], "<html>", header()), token("a", 3600));
    let several = read(&[("x-auth-token", "a"), ("x-auth-token", "b")], "", header());
    assert!(several.unwrap_err().contains("several times"));
    assert!(read(&[], "{}", header()).unwrap_err().contains("no header field x-auth-token"));
    assert!(read(&[("x-auth-token", "a b")], "", header()).unwrap_err().contains("RFC 6750"));
    assert_eq!(read(&[("set-cookie", "SID=abc; Path=/; Max-Age=90")], "", cookie()), token("abc", 90));
    assert_eq!(read(&[("set-cookie", "SID=\"abc\"; Secure")], "", cookie()), token("abc", 3600));
    assert_eq!(read(&[("set-cookie", "SID=old"), ("set-cookie", "SID=new")], "", cookie()), token("new", 3600));
    assert!(read(&[("set-cookie", "SID=; Max-Age=0")], "", cookie()).unwrap_err().contains("no cookie SID"));
    assert!(read(&[("set-cookie", "sid=a")], "", cookie()).unwrap_err().contains("no cookie SID"));
}

#[test]
fn a_token_must_be_legal_where_it_is_sent() {
    let any = Legal::default();
    for (token, legal) in
        [("a|b", Legal { header: true, ..any }), ("a b\u{e4}\n", any), ("a=b/c", Legal { cookie: true, ..any })]
    {
        assert_eq!(check_token(token, legal), Ok(()), "{token}");
    }
    for (token, legal, words) in [
        ("a b", Legal { header: true, ..any }, "no header"),
        ("a;b", Legal { cookie: true, ..any }, "no cookie"),
        ("a\"b", Legal { cookie: true, ..any }, "no cookie"),
        ("a b", Legal { cookie: true, ..any }, "no cookie"),
        ("", any, "empty"),
    ] {
        assert!(check_token(token, legal).unwrap_err().contains(words), "{token}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(issued("\u{feff}{\"access_token\":\"a\"}", |_| {}).access_token.expose(), "a");
}

#[test]
fn a_refresh_token_is_kept_only_where_it_is_used() {
    let body = r#"{"access_token":"a","refresh_token":"r t"}"#;
    assert_eq!(issued(body, |_| {}).refresh_token.unwrap().expose(), "r t");
    assert_eq!(issued(body, |s| s.use_refresh_token = false).refresh_token, None);
    for absent in ["null", "\"\"", "7"] {
        assert_eq!(issued(&format!(r#"{{"access_token":"a","refresh_token":{absent}}}"#), |_| {}).refresh_token, None);
    }
}

#[test]
fn a_token_that_has_already_expired_is_not_used() {
    let body = with_token("e30.eyJleHAiOjE2NTY1NzYwMzh9.c2ln");
    let times = WallTimes { date: Some(SystemTime::now()), ..times() };
    let defect = read(body.as_bytes(), &HeaderMap::new(), &settings(), &times).unwrap_err();
    assert!(matches!(defect, Defect::NoToken { why, .. } if why.contains("expired")));
}

proptest! {
    #[test]
    fn no_answer_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&body, &HeaderMap::new(), &settings(), &times());
    }

    #[test]
    fn no_token_that_is_accepted_can_break_a_header(token in any::<String>()) {
        if let Ok(issued) = read(with_token(&token).as_bytes(), &HeaderMap::new(), &settings(), &times()) {
            let token = issued.access_token.expose();
            prop_assert!(http::HeaderValue::from_str(&["Bearer ", token].concat()).is_ok());
            prop_assert!(token.bytes().all(|c| c.is_ascii_graphic()));
        }
    }
}
