//! The ways in which another server may read a path (RFC 3986 §5.2.4, §6.2.2).
//!
//! Paths are forwarded as they came. Where a listener has several routes, a path that others may read differently must not
//! decide which credential it gets: every reading is matched, and all must agree.

use percent_encoding::percent_decode_str;

/// How often a path is decoded: some servers decode twice, behind a proxy that decodes too.
const DECODINGS: usize = 3;

/// Whether everybody reads the path alike.
pub(super) fn is_plain(path: &str) -> bool {
    let path = path.as_bytes();
    let begins_oddly = |slash: usize| matches!(path.get(slash + 1), Some(b'/' | b'.'));
    memchr::memchr3(b'%', b'\\', b';', path).is_none() && !memchr::memchr_iter(b'/', path).any(begins_oddly)
}

/// The readings of a path besides the raw one.
pub(super) fn of(path: &str) -> Vec<String> {
    let mut readings = Vec::new();
    let mut decoded = path.to_owned();
    for _ in 0..DECODINGS {
        readings.push(resolve(&decoded, false));
        readings.push(resolve(&decoded, true));
        let next = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if next == decoded {
            break;
        }
        readings.push(next.clone());
        decoded = next;
    }
    readings
}

/// Resolves dot segments and empty segments; `lenient` also takes `\` for `/` and drops what follows `;` in a segment.
fn resolve(path: &str, lenient: bool) -> String {
    let path = if lenient { path.replace('\\', "/") } else { path.to_owned() };
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        let name = if lenient { segment.split(';').next().unwrap_or("") } else { segment };
        match name {
            "" | "." => (),
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_cover_dots_encodings_backslashes_and_parameters() {
        let check = |path: &str, wanted: &str| {
            let readings = of(path);
            assert!(readings.iter().any(|r| r == wanted), "{path}: {readings:?}");
        };
        check("/a/../b", "/b");
        check("/a/%2e%2e/b", "/b");
        check("/a/%252e%252e/b", "/b");
        check("/a/..;x=y/b", "/b");
        check("/a%5c..%5cb", "/b");
        check("//a", "/a");
        check("/../../a", "/a");
    }
}
