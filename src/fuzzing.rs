//! What must hold for any bytes whatever: the properties that `fuzz/` looks for exceptions to, and that the tests hold for its corpus.
//!
//! Owns the list of them, and how bytes are cut up for them. Each property stands in the room whose private code it is about, as a
//! function over bytes that panics where it does not hold. Nothing of this is in a build for use: it is there for tests, and with
//! the feature `fuzzing`.

#[cfg(test)]
mod tests;

/// A property, by the name of its target in `fuzz/fuzz_targets` and its corpus in `fuzz/corpus`.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("challenge", crate::proxy::fuzzing::challenge),
    ("configuration", crate::config::fuzzing::configuration),
    ("framing", crate::server::fuzzing::framing),
    ("header_rules", crate::proxy::fuzzing::header_rules),
    ("json_pointer", crate::secret::fuzzing::json_pointer),
    ("jwt_exp", crate::oauth::fuzzing::jwt_exp),
    ("mask", crate::oauth::fuzzing::mask),
    ("proxy_status", crate::proxy::fuzzing::proxy_status),
    ("references", crate::proxy::fuzzing::references),
    ("replay_body", crate::proxy::fuzzing::replay_body),
    ("request_target", crate::proxy::fuzzing::request_target),
    ("retry_after", crate::token::fuzzing::retry_after),
    ("set_cookie", set_cookie),
    ("store_entry", store_entry),
    ("token_answer", crate::oauth::fuzzing::token_answer),
    ("upstream_answer", crate::upstream::fuzzing::answer),
];

/// Holds the property of this name.
///
/// # Panics
/// If it does not hold for `data`, or if there is none of this name.
#[expect(clippy::panic, reason = "that is how a fuzzer is told")]
pub fn hold(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, property)) => property(data),
        None => panic!("no property is called {name}"),
    }
}

/// Cookies that an upstream sets for the caller, and a token endpoint for us.
fn set_cookie(data: &[u8]) {
    crate::proxy::fuzzing::set_cookie(data);
    crate::oauth::fuzzing::cookie_jar(data);
}

/// What instances tell each other, as it is told, as it is sealed and as it lies in a file.
fn store_entry(data: &[u8]) {
    crate::token::fuzzing::entry(data);
    crate::store::fuzzing::sealed(data);
}

/// The first bytes, which choose among circumstances (zero where there are none), and the rest.
pub(crate) fn controls<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let (first, rest) = data.split_at_checked(N).unwrap_or((data, &[]));
    let mut controls = [0; N];
    controls.iter_mut().zip(first).for_each(|(to, from)| *to = *from);
    (controls, rest)
}

/// The bytes in pieces of 1 to 32, as `seed` says.
pub(crate) fn pieces(seed: u8, bytes: &[u8]) -> Vec<&[u8]> {
    let mut state = u32::from(seed);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = 1 + (state >> 27) as usize;
        let (piece, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The lines before the first empty line as header fields, and what follows it. Lines that are no field are left out.
pub(crate) fn fields(data: &[u8]) -> (http::HeaderMap, &[u8]) {
    let mut fields = http::HeaderMap::new();
    let mut rest = data;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = after.strip_prefix(b"\n").unwrap_or(after);
        if line.is_empty() {
            break;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, b":"));
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name), http::HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    (fields, rest)
}
