//! The ways in which another server may read a path (RFC 3986 §5.2.4, §6.2.2).
//!
//! Paths are forwarded as they came. Where a listener has several routes, a path that others may read differently must not
//! decide which credential it gets: every reading is matched, and all must agree. Where a path is put below another, no reading
//! may lead out of that.

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
    let decoded = decodings(path);
    let resolved = decoded.iter().flat_map(|path| READERS.map(|reader| reader.resolve(path)));
    resolved.chain(decoded.iter().skip(1).cloned()).collect()
}

/// Whether a reading of the path leads above where it begins: `/../x` and `/a/%2e%2e/..;b/x` do, `/a/../x` does not.
pub(super) fn climbs(path: &str) -> bool {
    !is_plain(path) && decodings(path).iter().any(|path| READERS.iter().any(|reader| reader.climbs(path)))
}

/// The path as it is, decoded once, twice and so on, as long as that changes it.
fn decodings(path: &str) -> Vec<String> {
    let decode = |path: &String| {
        let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
        (decoded != *path).then_some(decoded)
    };
    std::iter::successors(Some(path.to_owned()), decode).take(1 + DECODINGS).collect()
}

/// How servers tell segments.
#[derive(Clone, Copy)]
enum Reader {
    /// RFC 3986 §3.3, with empty segments left out: nobody who keeps them ends further up.
    Strict,
    /// Takes `\` for `/`, and drops what follows `;` in a segment.
    Lenient,
}

const READERS: [Reader; 2] = [Reader::Strict, Reader::Lenient];

impl Reader {
    /// The path without dot segments and empty segments.
    fn resolve(self, path: &str) -> String {
        let mut kept: Vec<&str> = Vec::new();
        for segment in self.segments(path) {
            match segment {
                "" | "." => (),
                ".." => {
                    kept.pop();
                }
                name => kept.push(name),
            }
        }
        format!("/{}", kept.join("/"))
    }

    /// Whether a dot segment goes up from where the path begins.
    fn climbs(self, path: &str) -> bool {
        let mut depth = 0_usize;
        self.segments(path).any(|segment| match segment {
            "" | "." => false,
            ".." if depth == 0 => true,
            ".." => {
                depth -= 1;
                false
            }
            _ => {
                depth += 1;
                false
            }
        })
    }

    fn segments(self, path: &str) -> impl Iterator<Item = &str> {
        let is_lenient = matches!(self, Self::Lenient);
        let segments = path.split(move |c| c == '/' || (is_lenient && c == '\\'));
        segments.map(move |segment| if is_lenient { segment.split(';').next().unwrap_or("") } else { segment })
    }
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
        check("/a/%25252e%25252e/b", "/b");
        check("/a/..;x=y/b", "/b");
        check("/a%5c..%5cb", "/b");
        check("//a", "/a");
        check("/../../a", "/a");
    }
    #[test]
    fn a_path_climbs_if_any_reading_leads_above_its_beginning() {
        let check = |path: &str, wanted: bool| assert_eq!(climbs(path), wanted, "{path}");
        check("", false);
        check("/a/../b", false);
        check("/.well-known/x", false);
        check("/a/.../..b/c..", false);
        check("/a;x/b\\c/../..", false);
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "/%252E%252e/x",
            "/..;a=b/x",
            "/..\\x",
            "/..%5cx",
            "/a%2f..%2f../x",
        ] {
            check(path, true);
        }
        // Merged, the two slashes are one.
        check("/a//../../x", true);
        // Whoever reads `;x` for an empty name.
        check("/;x/../y", true);
        check("/./../x", true);
    }
}
