//! `[credentials.*.revocation]`: how tokens are given back.

use super::reader::{Keys, Reader};
use super::shape::{self, Known};
use crate::oauth::settings::{GrantType, Revocation, Whence};
use crate::reason::Reason;

pub(super) const KEYS: Keys = Keys {
    name: "[credentials.NAME.revocation]",
    obeyed: &["endpoint", "allow_plain_http", "on_shutdown", "method", "encoding", "token_field", "params", "headers"],
    later: &[],
    protective: &[],
};

/// What is written; `None` if nothing is. `steps` are the names of the credential's.
pub(super) fn read(credential: &Reader<'_>, grant: Option<GrantType>, steps: &[String]) -> Option<Revocation> {
    let reader = credential.table("revocation", &KEYS);
    let on_shutdown = reader.boolean("on_shutdown");
    let field = reader.non_empty("token_field");
    if !reader.is_written() {
        for key in KEYS.obeyed {
            let _ = reader.node(key);
        }
        return None;
    }
    // Whoever has nothing but a refresh token loses all with it.
    if on_shutdown != Some(false) && grant == Some(GrantType::RefreshToken) {
        let message = "would give back the only credential: with grant_type = \"refresh_token\" nothing brings another; \
            write on_shutdown = false, or remove the table";
        reader.reject("on_shutdown", Reason::ConfigContradiction, message);
    }
    let known = Known { steps, access_token: true, refresh_token: true };
    // An issuer says where.
    let shape = shape::read(&reader, "endpoint", credential.has("issuer"), known)?;
    let carried = shape::carries_token(&shape.params, &shape.headers, &[Whence::AccessToken, Whence::RefreshToken]);
    let token_field = field.or_else(|| Some("token".to_owned()).filter(|_| !carried));
    Some(Revocation { shape, on_shutdown: on_shutdown.unwrap_or(true), token_field })
}
