//! The smallest settings that ask for a token, for tests and fuzzing.

use std::time::Duration;

use super::settings::{
    ClientAuthentication, Encoding, Endpoint, Format, GrantProof, GrantType, Legal, Login, ResponseShape, Settings,
};

/// The smallest credential: client credentials without a client.
pub(super) fn settings() -> Settings {
    Settings {
        endpoint: Endpoint::Given(http::Uri::from_static("http://127.0.0.1/token")),
        method: http::Method::POST,
        encoding: Encoding::Form,
        grant: GrantType::ClientCredentials,
        proof: GrantProof::Fields,
        client: ClientAuthentication::Anonymous,
        adapts: false,
        username: None,
        password: None,
        scope: None,
        audience: None,
        resource: Vec::new(),
        params: Vec::new(),
        headers: Vec::new(),
        response: ResponseShape {
            format: Format::Auto,
            expect_status: Vec::new(),
            access_token: "/access_token".to_owned(),
            elsewhere: None,
            expires_in: "/expires_in".to_owned(),
            expires_at: None,
            refresh_token: "/refresh_token".to_owned(),
            default_lifetime: Duration::from_secs(3600),
            error_code: "/error".to_owned(),
            error_message: "/error_description".to_owned(),
        },
        permanent: Vec::new(),
        use_refresh_token: true,
        dpop: None,
        legal: Legal { bearer: true, header: true, cookie: false },
        login: Login::default(),
        timeout: Duration::from_secs(60),
    }
}
