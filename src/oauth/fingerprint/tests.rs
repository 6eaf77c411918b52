//! What a fingerprint tells apart.

use super::super::dpop::KeySource;
use super::super::settings::{
    AssertionKey, ClientAuthentication, GrantType, JwtAuthentication, Param, PermanentRule, Refresh, Signer, Step,
};
use super::super::testing::settings;
use super::*;
use crate::secret::SecretSource;

async fn fingerprint(change: impl FnOnce(&mut Settings)) -> [u8; 32] {
    let mut settings = settings();
    change(&mut settings);
    Material::read(&settings).await.unwrap().fingerprint(&settings, None, None)
}

fn shape(params: Vec<(String, Param)>) -> Shape {
    let endpoint = Some("https://a.example/".parse().unwrap());
    Shape { endpoint, method: http::Method::POST, encoding: Encoding::Form, params, headers: Vec::new() }
}

fn step(name: &str, value: &str) -> Step {
    let params = vec![("p".to_owned(), Param::Text(SecretSource::inline(value)))];
    Step { name: name.to_owned(), shape: shape(params), expect_status: Vec::new() }
}

fn refresh(token_field: Option<&str>) -> Refresh {
    Refresh { shape: shape(Vec::new()), grant_type: None, token_field: token_field.map(str::to_owned) }
}

#[tokio::test]
async fn every_change_of_configuration_or_secret_changes_the_fingerprint() {
    let inline = |text: &str| SecretSource::inline(text);
    let basic = |id: &str, secret: &str| ClientAuthentication::Basic {
        id: inline(id),
        secret: inline(secret),
        encoding: BasicEncoding::Form,
    };
    let all = [
        fingerprint(|_| {}).await,
        fingerprint(|s| s.endpoint = Endpoint::Given("http://127.0.0.1/other".parse().unwrap())).await,
        fingerprint(|s| s.method = http::Method::PUT).await,
        fingerprint(|s| s.encoding = Encoding::Json).await,
        fingerprint(|s| s.grant = GrantType::Password).await,
        fingerprint(|s| s.client = ClientAuthentication::Public { id: inline("a") }).await,
        fingerprint(|s| s.client = basic("ab", "c")).await,
        fingerprint(|s| s.client = basic("a", "bc")).await,
        fingerprint(|s| s.scope = Some(String::new())).await,
        fingerprint(|s| s.audience = Some(String::new())).await,
        fingerprint(|s| s.username = Some(inline("x"))).await,
        fingerprint(|s| s.password = Some(inline("x"))).await,
        fingerprint(|s| s.resource = vec!["x".into()]).await,
        fingerprint(|s| s.params = vec![("a".into(), Param::Text(inline("1")))]).await,
        fingerprint(|s| s.params = vec![("a".into(), Param::Json(1.into()))]).await,
        fingerprint(|s| s.headers = vec![(HeaderName::from_static("a"), Param::Text(inline("1")))]).await,
        fingerprint(|s| s.dpop = Some(KeySource::Generated)).await,
        fingerprint(|s| s.dpop = Some(KeySource::Given { key: inline("k"), algorithm: None })).await,
        fingerprint(|s| s.login.steps = vec![step("a", "x")]).await,
        fingerprint(|s| s.login.steps = vec![step("b", "x")]).await,
        fingerprint(|s| s.login.steps = vec![step("a", "y")]).await,
        fingerprint(|s| s.login.steps = vec![step("a", "x"), step("a", "x")]).await,
        fingerprint(|s| s.login.refresh = Some(refresh(Some("f")))).await,
        fingerprint(|s| s.login.refresh = Some(refresh(None))).await,
    ];
    let mut unique = all.to_vec();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
}

/// The digest of what is written besides, and the fingerprint.
async fn both(change: impl FnOnce(&mut Settings, &mut ClientSettings)) -> ([u8; 32], [u8; 32]) {
    let (mut settings, mut tls) = (settings(), ClientSettings::default());
    change(&mut settings, &mut tls);
    let material = Material::read(&settings).await.unwrap();
    (written(&settings, &tls), material.fingerprint(&settings, None, None))
}

#[tokio::test]
async fn what_may_cure_a_refusal_is_told_apart_though_the_entry_in_the_store_is_the_same() {
    let rule = PermanentRule { status: Some(400), ..PermanentRule::default() };
    let all = [
        both(|_, _| {}).await,
        both(|s, _| s.permanent = vec![rule.clone()]).await,
        both(|s, _| s.permanent = vec![PermanentRule { error_code: Some("e".to_owned()), ..rule.clone() }]).await,
        both(|s, _| s.response.access_token = "/data/access_token".to_owned()).await,
        both(|s, _| s.response.expect_status = vec![201]).await,
        both(|s, _| s.response.error_code = "/code".to_owned()).await,
        both(|s, _| s.use_refresh_token = !s.use_refresh_token).await,
        both(|s, _| s.timeout *= 2).await,
        both(|_, tls| tls.ca = Some("ca.pem".into())).await,
        both(|_, tls| tls.server_name = Some("a.example".to_owned())).await,
    ];
    assert!(all.iter().all(|(_, fingerprint)| *fingerprint == all[0].1));
    let mut unique = all.map(|(written, _)| written).to_vec();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
}

#[tokio::test]
async fn the_life_of_an_assertion_and_the_algorithm_of_a_proof_may_cure_too() {
    let signer = |lifetime| Signer { lifetime, ..Signer::new(AssertionKey::Private(SecretSource::inline("k"))) };
    let lives = |seconds| Assertion::Signed(Box::new(signer(std::time::Duration::from_secs(seconds))));
    let by_grant = |seconds| both(move |s, _| s.proof = GrantProof::Assertion(lives(seconds)));
    let by_client = |seconds| {
        both(move |s, _| {
            let jwt = JwtAuthentication { id: None, assertion: lives(seconds), assertion_type: "t".to_owned() };
            s.client = ClientAuthentication::Jwt(Box::new(jwt));
        })
    };
    let proves =
        |algorithm| both(move |s, _| s.dpop = Some(KeySource::Given { key: SecretSource::inline("k"), algorithm }));
    let pairs = [
        (by_grant(60).await, by_grant(90).await),
        (by_client(60).await, by_client(90).await),
        (proves(None).await, proves(Some(Algorithm::Es256)).await),
    ];
    for (one, other) in pairs {
        assert!(one.0 != other.0 && one.1 == other.1);
    }
}

/// Tokens and refresh tokens of running fleets lie under names that are made of it.
#[tokio::test]
async fn the_fingerprint_is_that_of_earlier_versions() {
    let print: String = fingerprint(|_| {}).await.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(print, "d6b1638d4c76132f4bd407d6bd4b164142d309884ef80d6fd540695e3f137999");
}

#[tokio::test]
async fn another_client_certificate_is_another_way_to_get_tokens() {
    let settings = settings();
    let material = Material::read(&settings).await.unwrap();
    let print = |identity| material.fingerprint(&settings, None, identity);
    assert_ne!(print(None), print(Some([1; 32])));
    assert_ne!(print(Some([1; 32])), print(Some([2; 32])));
}

#[tokio::test]
async fn the_same_configuration_has_the_same_fingerprint() {
    assert_eq!(fingerprint(|_| {}).await, fingerprint(|_| {}).await);
}
