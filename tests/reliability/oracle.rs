//! What stands in the bytes of a connection, read by RFC 9112 and by nothing of ours.
//!
//! Owns the strict reading that a proxy is held to: a request that reaches an upstream and does not stand here was smuggled. Reads on
//! as long as there is one meaning, and no further. Less strict in two ways only, both of which the RFC leaves to a recipient: lines may
//! end with LF alone (§2.2), and empty lines may stand before a request.

/// A request that there is one reading of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) method: Vec<u8>,
    /// Path and query, or `*`.
    pub(crate) target: Vec<u8>,
    /// `None` if its end did not come, or is no end.
    pub(crate) body: Option<Vec<u8>>,
}

/// All of them, up to the first byte that could mean anything else.
pub(crate) fn requests(mut bytes: &[u8]) -> Vec<Read> {
    let mut all = Vec::new();
    while let Some((request, rest)) = request(bytes) {
        let is_last = request.body.is_none() || rest.is_none();
        all.push(request);
        match rest {
            Some(rest) if !is_last => bytes = rest,
            _ => break,
        }
    }
    all
}

/// One request, and what follows it where another may.
fn request(mut bytes: &[u8]) -> Option<(Read, Option<&[u8]>)> {
    while let Some(rest) = bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n")) {
        bytes = rest;
    }
    let (start, mut rest) = line(bytes)?;
    let (method, target, is_1_0) = start_line(start)?;
    let mut fields = Vec::new();
    loop {
        let (text, after) = line(rest)?;
        rest = after;
        if text.is_empty() {
            break;
        }
        fields.push(field(text)?);
    }
    let values = |name: &str| -> Vec<&[u8]> {
        let is_it = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        fields.iter().filter(is_it).map(|(_, value)| *value).collect()
    };
    let says = |name: &str, word: &str| {
        let words = values(name).into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        words.map(<[u8]>::trim_ascii).any(|said| said.eq_ignore_ascii_case(word.as_bytes()))
    };
    let lives_on = if is_1_0 { says("connection", "keep-alive") } else { !says("connection", "close") };
    let (body, rest) = match (&*values("transfer-encoding"), &*values("content-length")) {
        ([], []) => (Some(Vec::new()), rest),
        ([coding], []) if !is_1_0 && coding.eq_ignore_ascii_case(b"chunked") => chunked(rest),
        ([], [length]) => match digits(length, 10).and_then(|length| rest.split_at_checked(length)) {
            Some((body, rest)) => (Some(body.to_vec()), rest),
            None if digits(length, 10).is_some() => (None, rest),
            None => return None,
        },
        _ => return None,
    };
    let request = Read { method: method.to_vec(), target, body };
    Some((request, lives_on.then_some(rest)))
}

/// §3: a method, one space, a target, one space, a version. The target as path and query (§3.2).
fn start_line(line: &[u8]) -> Option<(&[u8], Vec<u8>, bool)> {
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let is_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return None,
    };
    let is_visible = target.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80);
    if method.is_empty() || !method.iter().copied().all(is_token) || target.is_empty() || !is_visible {
        return None;
    }
    let lower = target.to_ascii_lowercase();
    let target = match lower.strip_prefix(b"http://").or_else(|| lower.strip_prefix(b"https://")) {
        None if target.starts_with(b"/") || target == b"*" => target.to_vec(),
        None => return None,
        Some(after) => {
            let after = &target[target.len() - after.len()..];
            let path = after.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(after.len());
            match after.get(path) {
                Some(b'/') => after[path..].to_vec(),
                Some(_) => [b"/", &after[path..]].concat(),
                None if method == b"OPTIONS" => b"*".to_vec(),
                None => b"/".to_vec(),
            }
        }
    };
    Some((method, target, is_1_0))
}

/// §5: a name, a colon, a value of visible characters, blanks and tabs.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    (!name.is_empty() && name.iter().copied().all(is_token) && value.iter().all(is_text))
        .then(|| (name, value.trim_ascii()))
}

/// §7.1, every line of it ended by CRLF; no body if it is not that.
fn chunked(mut rest: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let Some((line, after)) = strict_line(rest) else { return (None, rest) };
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        // Blanks before an extension are bad form (§7.1.1), and a recipient may read past them.
        let Some(size) = digits(size.trim_ascii_end(), 16) else { return (None, rest) };
        if size == 0 {
            rest = after;
            break;
        }
        let Some((data, after)) = after.split_at_checked(size) else { return (None, rest) };
        let Some(after) = after.strip_prefix(b"\r\n") else { return (None, rest) };
        body.extend_from_slice(data);
        rest = after;
    }
    loop {
        let Some((text, after)) = line(rest) else { return (None, rest) };
        rest = after;
        if text.is_empty() {
            return (Some(body), rest);
        }
        if field(text).is_none() {
            return (None, rest);
        }
    }
}

fn digits(text: &[u8], radix: u32) -> Option<usize> {
    let are_digits = !text.is_empty() && text.iter().all(|byte| char::from(*byte).is_digit(radix));
    are_digits.then(|| usize::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()).flatten()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A line without its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (!line.contains(&b'\r')).then_some((line, rest))
}

fn strict_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes[..end].strip_suffix(b"\r")?;
    (!line.contains(&b'\r')).then_some((line, &bytes[end + 1..]))
}

/// Before it judges anybody else.
pub(crate) fn hold_known_readings() {
    let told = |bytes: &[u8]| -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |read: &Read| {
            let body = read.body.as_deref().map_or_else(|| "…".to_owned(), text);
            format!("{} {} {body}", text(&read.method), text(&read.target))
        };
        requests(bytes).iter().map(one).collect()
    };
    for (bytes, wanted) in [
        (&b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"[..], &["GET /a ", "GET /b "][..]),
        (b"GET /a HTTP/1.1\r\nConnection: x, Close\r\n\r\nGET /b HTTP/1.1\r\n\r\n", &["GET /a "]),
        (b"GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.1\r\n\r\n", &["GET /a "]),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n", &["POST /a abc", "GET /b "]),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", &["POST /a …"]),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", &[]),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", &[]),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n\r\nGET /b HTTP/1.1\r\n\r\n", &[
            "POST /a ab",
            "GET /b ",
        ]),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n", &["POST /a …"]),
        (b"OPTIONS http://h HTTP/1.1\r\n\r\nGET HTTP://h?q HTTP/1.1\r\n\r\nGET http://h/p HTTP/1.1\n\n", &[
            "OPTIONS * ",
            "GET /?q ",
            "GET /p ",
        ]),
        (b"GET  /a HTTP/1.1\r\n\r\n", &[]),
        (b"GET /a HTTP/1.1\r\n X: y\r\n\r\n", &[]),
        (b"GET /a HTTP/1.1\r\nX : y\r\n\r\n", &[]),
    ] {
        assert_eq!(told(bytes), wanted, "{}", String::from_utf8_lossy(bytes));
    }
}
