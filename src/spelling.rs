//! How the names of a message's fields were spelled.
//!
//! To HTTP it makes no difference; to some upstreams it does, and `http` keeps names in lower case. So whoever reads a
//! head notes the spelling, and whoever writes one may look it up.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use http::HeaderName;

/// The names of the fields of one head, as they were spelled and in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling(Arc<[Box<[u8]>]>);

impl Spelling {
    /// Notes the names in a head, which begins with the first byte of `head` and ends with an empty line.
    pub fn of_head(head: &[u8]) -> Self {
        let lines = head.split(|byte| *byte == b'\n').skip(1);
        let lines = lines.map(<[u8]>::trim_ascii_end).take_while(|line| !line.is_empty());
        let name = |line: &[u8]| line.split(|byte| *byte == b':').next().unwrap_or_default().into();
        Self(lines.map(name).collect())
    }

    /// Writes the name of the `nth` field that is called so: as it was spelled, else in Title-Case.
    pub fn write(&self, name: &HeaderName, nth: usize, to: &mut BytesMut) {
        let mut spelled = self.0.iter().filter(|spelled| spelled.eq_ignore_ascii_case(name.as_str().as_bytes()));
        match spelled.nth(nth) {
            Some(spelled) => to.put_slice(spelled),
            None => title_case(name, to),
        }
    }
}

fn title_case(name: &HeaderName, to: &mut BytesMut) {
    let mut begins = true;
    for byte in name.as_str().bytes() {
        to.put_u8(if begins { byte.to_ascii_uppercase() } else { byte });
        begins = byte == b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_they_were_spelled_and_others_in_title_case() {
        let head = b"GET /a:b HTTP/1.1\r\nHOST: x\r\nX-tOKEN:1\nx-Token: 2\r\n\r\nBody: no\r\n";
        let spelling = Spelling::of_head(head);
        let check = |name: &'static str, nth, wanted: &[u8]| {
            let mut written = BytesMut::new();
            spelling.write(&HeaderName::from_static(name), nth, &mut written);
            assert_eq!(&written[..], wanted, "{name}");
        };
        check("host", 0, b"HOST");
        check("x-token", 0, b"X-tOKEN");
        check("x-token", 1, b"x-Token");
        check("x-token", 2, b"X-Token");
        check("body", 0, b"Body");
        check("sec-websocket-key", 0, b"Sec-Websocket-Key");
        assert_eq!(spelling.0.len(), 3);
    }
}
