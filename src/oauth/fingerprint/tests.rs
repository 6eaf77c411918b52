//! What a fingerprint tells apart.

use super::super::dpop::KeySource;
use super::super::settings::{ClientAuthentication, GrantType, Param, Refresh, Step};
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
