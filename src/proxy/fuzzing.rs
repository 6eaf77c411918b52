//! Properties of the request path that hold for any bytes.

mod challenges;
mod forwarded;
mod references;
mod replays;
mod set_cookies;

pub(crate) use challenges::{challenge, proxy_status};
pub(crate) use forwarded::{header_rules, request_target};
pub(crate) use references::references;
pub(crate) use replays::replay_body;
pub(crate) use set_cookies::set_cookie;
