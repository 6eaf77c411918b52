//! The smallest route that serves a request, for tests and fuzzing.
#![allow(clippy::unwrap_used, reason = "the text is a good one")]

use super::settings::{self, Inject, Rejection, Replay};
use crate::upstream::Origin;

/// To `https://api.example`, without a credential.
pub(crate) fn route(path: &str, host: Option<&str>) -> settings::Route {
    let upstream: http::Uri = http::Uri::from_static("https://api.example");
    settings::Route {
        name: "api".to_owned(),
        host: host.map(str::to_owned),
        path: path.to_owned(),
        origin: Origin::of(&upstream).unwrap(),
        upstream,
        credential: None,
        strip_path: true,
        keep_host: false,
        protocol: crate::upstream::Protocol::Auto,
        upgrades: vec!["websocket".to_owned()],
        rejection: Rejection {
            status: vec![401],
            www_authenticate_error: vec!["invalid_token".to_owned()],
            body: Vec::new(),
            grpc_status: Vec::new(),
            replay: Replay::All,
            replay_body_limit: 64 * 1024,
        },
        callers: None,
        inject: Inject::Header { name: http::header::AUTHORIZATION, scheme: "Bearer".to_owned() },
        fields: settings::FieldRules::default(),
        header_case: settings::HeaderCase::Lower,
        timeouts: settings::Timeouts {
            connect: std::time::Duration::from_secs(5),
            request_body_idle: None,
            response_head: None,
            upstream_idle: None,
        },
    }
}
