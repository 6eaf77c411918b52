//! What token requests look like on the wire.

use http_body_util::BodyExt;

use super::super::settings::{
    Assertion, AssertionKey, ClientAuthentication, Endpoint, Exchange, GrantProof, JwtAuthentication, Param, Signer,
};
use super::super::testing::settings;
use super::*;
use crate::secret::SecretSource;

fn inline(text: &str) -> SecretSource {
    SecretSource::inline(text)
}

async fn request_of(grant: Grant, change: impl FnOnce(&mut Settings)) -> Result<Request<Full<Bytes>>, Unsendable> {
    let mut settings = settings();
    change(&mut settings);
    let material = Material::read(&settings).await.unwrap();
    let uri = settings.endpoint.written();
    let endpoint = (uri, &Origin::of(uri).unwrap());
    build(&settings, endpoint, &material, &Session::default(), &grant, SystemTime::UNIX_EPOCH)
}

async fn body_of(grant: Grant, change: impl FnOnce(&mut Settings)) -> String {
    let body = request_of(grant, change).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

async fn check(wanted: &str, change: impl FnOnce(&mut Settings)) {
    assert_eq!(body_of(Grant::Configured, change).await, wanted);
}

fn basic(id: &str, secret: &str, encoding: BasicEncoding) -> ClientAuthentication {
    ClientAuthentication::Basic { id: inline(id), secret: inline(secret), encoding }
}

#[tokio::test]
async fn each_grant_sends_exactly_its_fields() {
    check("grant_type=client_credentials", |_| {}).await;
    check("", |s| s.grant = GrantType::None).await;
    check("grant_type=client_credentials&scope=", |s| s.scope = Some(String::new())).await;
    check("grant_type=password&username=u&password=p&scope=a+b&audience=x&resource=r1&resource=r2&k=v", |s| {
        s.grant = GrantType::Password;
        s.username = Some(inline("u"));
        s.password = Some(inline("p"));
        s.scope = Some("a b".to_owned());
        s.audience = Some("x".to_owned());
        s.resource = vec!["r1".to_owned(), "r2".to_owned()];
        s.params = vec![("k".to_owned(), Param::Text(inline("v")))];
    })
    .await;
    check("username=u&password=p&company_name=Acme+Corp", |s| {
        s.grant = GrantType::None;
        s.username = Some(inline("u"));
        s.password = Some(inline("p"));
        s.params = vec![("company_name".to_owned(), Param::Text(inline("Acme Corp")))];
    })
    .await;
}

#[tokio::test]
async fn client_authentication_is_in_the_body_or_in_the_header_but_never_in_both() {
    check("grant_type=client_credentials&client_id=i", |s| {
        s.client = ClientAuthentication::Public { id: inline("i") };
    })
    .await;
    check("grant_type=client_credentials&client_id=i&client_secret=s%C3%A4%26", |s| {
        s.client = ClientAuthentication::Post { id: inline("i"), secret: inline("sä&") };
    })
    .await;
    let with_basic = |encoding| move |s: &mut Settings| s.client = basic("i:d", "s ä", encoding);
    check("grant_type=client_credentials", with_basic(BasicEncoding::Form)).await;
    let authorization = async |encoding| {
        let request = request_of(Grant::Configured, with_basic(encoding)).await.unwrap();
        let value = request.headers().get(header::AUTHORIZATION).unwrap().clone();
        assert!(value.is_sensitive());
        value.to_str().unwrap().to_owned()
    };
    let wanted = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    assert_eq!(authorization(BasicEncoding::Form).await, wanted("i%3Ad:s+%C3%A4"));
    assert_eq!(authorization(BasicEncoding::Raw).await, wanted("i:d:s ä"));
}

#[tokio::test]
async fn an_assertion_stands_beside_the_id_and_says_what_kind_it_is() {
    let by_jwt = |id: Option<&str>| {
        let id = id.map(inline);
        let assertion = Assertion::Given(inline("a.b.c"));
        let assertion_type = "urn:x".to_owned();
        move |s: &mut Settings| {
            s.client = ClientAuthentication::Jwt(Box::new(JwtAuthentication { id, assertion, assertion_type }));
        }
    };
    let rest = "client_assertion_type=urn%3Ax&client_assertion=a.b.c";
    check(&format!("grant_type=client_credentials&client_id=i&{rest}"), by_jwt(Some("i"))).await;
    check(&format!("grant_type=client_credentials&{rest}"), by_jwt(None)).await;
    let refreshed = body_of(Grant::Refresh(Secret::new("r")), by_jwt(Some("i"))).await;
    assert_eq!(refreshed, format!("grant_type=refresh_token&refresh_token=r&client_id=i&{rest}"));
}

#[tokio::test]
async fn the_other_grants_send_what_their_rfcs_say() {
    check("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c", |s| {
        s.grant = GrantType::JwtBearer;
        s.proof = GrantProof::Assertion(Assertion::Given(inline("a.b.c")));
    })
    .await;
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=s\
        &subject_token_type=urn%3As&actor_token=a&actor_token_type=urn%3Aa&requested_token_type=urn%3Ar&audience=x";
    check(exchange, |s| {
        s.grant = GrantType::TokenExchange;
        s.audience = Some("x".to_owned());
        s.proof = GrantProof::Exchange(Box::new(Exchange {
            subject: inline("s"),
            subject_type: "urn:s".to_owned(),
            actor: Some((inline("a"), "urn:a".to_owned())),
            requested_type: Some("urn:r".to_owned()),
        }));
    })
    .await;
    check("grant_type=client_credentials&client_id=i", |s| {
        s.client = ClientAuthentication::Certificate { id: inline("i") };
    })
    .await;
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_an_error_that_names_it_and_sends_nothing() {
    let request = request_of(Grant::Configured, |s| {
        s.grant = GrantType::JwtBearer;
        let signer = Signer::new(AssertionKey::Private(inline("hunter2")));
        s.proof = GrantProof::Assertion(Assertion::Signed(Box::new(signer)));
    });
    let error = request.await.unwrap_err().to_string();
    assert!(error.contains("what assertion is signed with is neither a private key") && !error.contains("hunter2"));
}

#[tokio::test]
async fn a_refresh_sends_neither_the_password_nor_the_scope() {
    let body = body_of(Grant::Refresh(Secret::new("r&t")), |s| {
        s.grant = GrantType::Password;
        s.client = ClientAuthentication::Post { id: inline("i"), secret: inline("s") };
        s.username = Some(inline("u"));
        s.password = Some(inline("p"));
        s.scope = Some("a".to_owned());
        s.audience = Some("aud".to_owned());
        s.params = vec![("grant_type".to_owned(), Param::Text(inline("x")))];
    });
    let wanted = "grant_type=refresh_token&refresh_token=r%26t&client_id=i&client_secret=s&audience=aud";
    assert_eq!(body.await, wanted);
    // Where it replaces nothing, the scope is what is asked for.
    let body = body_of(Grant::Refresh(Secret::new("r")), |s| {
        s.grant = GrantType::RefreshToken;
        s.scope = Some("a".to_owned());
    });
    assert_eq!(body.await, "grant_type=refresh_token&refresh_token=r&scope=a");
}

#[tokio::test]
async fn a_param_never_repeats_a_field_that_has_a_key_of_its_own() {
    check("grant_type=client_credentials&scope=a&x=1", |s| {
        s.scope = Some("a".to_owned());
        s.params = ["scope", "grant_type", "x", "x"].map(|n| (n.to_owned(), Param::Text(inline("1")))).into();
    })
    .await;
}

#[tokio::test]
async fn a_query_is_appended_to_the_one_that_the_endpoint_has() {
    let check = async |endpoint: &str, wanted: &str| {
        let request = request_of(Grant::Configured, |s| {
            s.endpoint = Endpoint::Given(endpoint.parse().unwrap());
            s.encoding = Encoding::Query;
        });
        let request = request.await.unwrap();
        assert_eq!(request.uri().to_string(), wanted, "{endpoint}");
        assert_eq!(request.headers().get(header::CONTENT_LENGTH).unwrap(), "0");
    };
    check("http://a.localhost/t", "/t?grant_type=client_credentials").await;
    check("http://a.localhost/t?v=1", "/t?v=1&grant_type=client_credentials").await;
    check("http://a.localhost/t?", "/t?grant_type=client_credentials").await;
    check("http://a.localhost", "/?grant_type=client_credentials").await;
}

#[tokio::test]
async fn the_endpoints_own_query_stays_with_every_encoding() {
    let request =
        request_of(Grant::Configured, |s| s.endpoint = Endpoint::Given("http://a.localhost/t?v=1".parse().unwrap()));
    assert_eq!(request.await.unwrap().uri().to_string(), "/t?v=1");
}

#[tokio::test]
async fn headers_say_what_is_wanted_and_configured_ones_win() {
    let request = request_of(Grant::Configured, |s| {
        s.endpoint = Endpoint::Given("http://a.localhost:81/t".parse().unwrap());
        s.headers = vec![
            (HeaderName::from_static("x-api-key"), Param::Text(inline("kéy"))),
            (header::ACCEPT, Param::Text(inline("application/vnd.x+json"))),
            (header::CONTENT_LENGTH, Param::Text(inline("1"))),
        ];
    });
    let headers = request.await.unwrap().headers().clone();
    assert_eq!(headers["host"], "a.localhost:81");
    assert_eq!(headers["accept"], "application/vnd.x+json");
    assert_eq!(headers["accept-encoding"], "identity");
    assert_eq!(headers["user-agent"], USER_AGENT);
    assert_eq!(headers["x-api-key"], "kéy".as_bytes());
    assert!(headers["x-api-key"].is_sensitive());
    assert_eq!(headers["content-length"], "29");
}

#[tokio::test]
async fn a_secret_with_a_line_break_in_a_header_is_an_error_that_does_not_show_it() {
    let request = request_of(Grant::Configured, |s| {
        s.headers = vec![(HeaderName::from_static("x-api-key"), Param::Text(inline("hunter2\nX: y")))];
    });
    let error = format!("{:?} {0}", request.await.unwrap_err());
    assert!(error.contains("x-api-key") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_query_longer_than_any_uri_is_an_error() {
    let request = request_of(Grant::Configured, |s| {
        s.encoding = Encoding::Query;
        s.scope = Some("x".repeat(70_000));
    });
    assert!(matches!(request.await, Err(Unsendable::Query)));
}
