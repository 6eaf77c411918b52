//! What is not known to be harmless is not written, and what is ordinary stays readable.

use super::*;

const URL: &str = "https://login.acme.com/token";
const RANDOM: &str = "4eC39HqLyjWDarjtT1zdp7dcQQ99";

/// All that is printed, of a configuration that passes `check`.
fn printed(text: &str) -> String {
    let draft = imported(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let written = draft.to_toml(true);
    check(&written);
    format!("{written}{}", to_do(draft))
}

fn hides(text: &str) {
    let printed = printed(text);
    assert!([RANDOM, "hunter22", "482911"].iter().all(|secret| !printed.contains(secret)), "{text}: {printed}");
    assert!(printed.contains("not shown") || printed.contains("hidden"), "{text}: {printed}");
}

#[test]
fn fields_and_headers_of_any_name_and_language() {
    for name in [
        "kennwort",
        "mot_de_passe",
        "contrasena",
        "contraseña",
        "parola",
        "mfa",
        "otp",
        "answer",
        "user_answer",
        "license",
        "ticket",
        "ticket_id",
        "SAMLResponse",
        "saml_assertion",
        "mfa_type",
        "xyzzy",
        "clave",
        "account_parola",
    ] {
        hides(&format!("curl {URL} --data-urlencode '{name}=hunter22'"));
        hides(&format!("curl {URL} -F '{name}=hunter22'"));
        hides(&format!("curl {URL} --json '{{\"{name}\":482911}}'"));
        hides(&format!("curl -G {URL} --data-urlencode '{name}=hunter22'"));
    }
    for header in [
        "X-Login: joe:hunter22",
        "X-Whatever: hunter22",
        "X-Tenant: joe:hunter22",
        "X-Page: https://x.acme.com/?token=hunter22",
    ] {
        hides(&format!("curl {URL} -H '{header}' -d grant_type=client_credentials"));
    }
    for referer in [
        "https://x.acme.com/?token=hunter22",
        "https://joe:hunter22@x.acme.com/",
        &format!("https://x.acme.com/{RANDOM}/"),
    ] {
        hides(&format!("curl {URL} -e '{referer}' -d grant_type=client_credentials"));
    }
}

#[test]
fn a_key_in_place_of_a_user_and_half_of_a_password() {
    hides(&format!("curl -u {RANDOM}: {URL} -d grant_type=client_credentials"));
    hides(&format!("curl {URL} -d username=joe -d \"password=hunter22$X\""));
    hides(&format!("curl {URL} -d a=1 -H \"X-Api-Key: hunter22$X\""));
    let bearer = printed(&format!("curl {URL} -d a=1 -H \"Authorization: Bearer $TOKEN\""));
    assert!(bearer.contains("into this file: Bearer $TOKEN"), "{bearer}");
}

#[test]
fn pieces_of_the_url() {
    hides(&format!("curl 'https://login.acme.com/hooks/{RANDOM}/token' -d grant_type=client_credentials"));
    hides("curl 'https://login.acme.com/token;jsessionid=hunter22' -d grant_type=client_credentials");
    hides(&format!("curl '{URL}?foo=hunter22'"));
    hides(&format!("curl '{URL}?foo=hunter22' -d grant_type=client_credentials"));
    hides(&format!("curl '{URL}?foo=hunter22&client_id=a' -d grant_type=client_credentials"));
    hides(
        &format!("KEY={RANDOM}\ncurl \"https://login.acme.com/$KEY/token\" -d a=1")
            .replace("-d a=1", "-d xyzzy=hunter22"),
    );
    let beside = printed(&format!("curl '{URL}?api-version=2.0&foo=hunter22' -d grant_type=client_credentials"));
    assert!(beside.contains(&format!("\"{URL}?api-version=2.0&foo=YOUR_FOO\"")), "{beside}");
    assert!(beside.contains("REPLACE YOUR_FOO in it"), "{beside}");
}

#[test]
fn ordinary_fields_stay_readable() {
    let check = |option: &str, value: &str| {
        let printed = printed(&format!("curl {URL} {option}"));
        assert!(printed.contains(&format!("\"{value}\"")), "{option}: {printed}");
    };
    let uuid = "84896a0c-1347-aa90-a4f6-aca8b7558780";
    for (name, value) in [
        ("tenant", "contoso"),
        ("tenant_id", uuid),
        ("tenantId", "t-42"),
        ("tenantid", "contoso"),
        ("realm", "prod"),
        ("api-version", "2021-07-28"),
        ("apiVersion", "2.0"),
        ("scopes", "read:items write:items"),
        ("accountId", "12345678"),
        ("resource_url", "https://api.acme.com/v2"),
        ("company_name", "Acme GmbH"),
        ("redirect_uri", "https://app.acme.com/cb?x=1"),
        ("response_type", "token"),
        ("access_type", "offline"),
        ("requested_token_use", "on_behalf_of"),
        ("expires_in", "3600"),
        ("login", "joe"),
        ("email", "joe@acme.com"),
        ("remember", "true"),
        ("xyzzy", "true"),
        ("xyzzy", "2.0"),
        ("xyzzy", "7"),
        ("xyzzy", "<your value>"),
        ("country", "DE"),
        ("resource_id", "urn:acme:api"),
        ("database", "prod"),
    ] {
        check(&format!("--data-urlencode '{name}={value}'"), value);
    }
    for (name, value) in [
        ("X-Tenant", "contoso"),
        ("X-Ms-Version", "2020-04-08"),
        ("Referer", "https://app.acme.com/login"),
        ("Origin", "https://app.acme.com"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/131.0.0.0"),
        ("Accept-Language", "de,en;q=0.9"),
        ("sec-ch-ua-platform", "Windows"),
        ("X-Requested-With", "XMLHttpRequest"),
    ] {
        check(&format!("-H '{name}: {value}' -d grant_type=client_credentials"), value);
    }
    check("-d audience=api://x -d resource=https://y.acme.com/", "api://x");
}
