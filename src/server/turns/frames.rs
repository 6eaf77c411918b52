//! Where frames begin in a stream of them, and of what kind they are (RFC 9113 §4.1).

/// What every frame begins with (RFC 9113 §4.1), in bytes.
pub(super) const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Frames, as they began.
#[derive(Default)]
pub(super) struct Begun {
    pub(super) frames: usize,
    /// Those of them that begin a message, or end one with trailers (RFC 9113 §6.2).
    pub(super) heads: usize,
    /// Whether there is one of a kind that moves a message: a part of one, or room for one (RFC 9113 §6.1, §6.2, §6.9, §6.10).
    pub(super) moved: bool,
}

/// Where in a frame the stream has been read to.
pub(super) enum Place {
    /// So many bytes before its end.
    Payload(usize),
    /// In its header: so many bytes of that are read, and what they say of the length.
    Header(usize, usize),
}

impl Place {
    /// Goes on by these bytes; returns what began in them.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) -> Begun {
        let mut begun = Begun::default();
        loop {
            match self {
                Self::Payload(rest) => {
                    let Some(next) = bytes.get(*rest..).filter(|next| !next.is_empty()) else {
                        *rest -= bytes.len();
                        return begun;
                    };
                    bytes = next;
                    *self = Self::Header(0, 0);
                }
                Self::Header(seen, length) => {
                    let [byte, more @ ..] = bytes else { return begun };
                    match *seen {
                        0..3 => *length = *length << 8 | usize::from(*byte),
                        3 => {
                            begun.frames += 1;
                            begun.heads += usize::from(*byte == HEADERS);
                            begun.moved |= matches!(*byte, DATA | HEADERS | WINDOW_UPDATE | CONTINUATION);
                        }
                        _ => {}
                    }
                    *seen += 1;
                    bytes = more;
                    if *seen == HEADER {
                        *self = Self::Payload(*length);
                    }
                }
            }
        }
    }

    /// How many bytes can be read before more than so many frames have begun.
    pub(super) fn room(&self, frames: usize) -> usize {
        let rest = match self {
            Self::Payload(rest) => *rest,
            // Counted as soon as its kind is known.
            Self::Header(seen, _) if *seen > 3 => HEADER - seen,
            Self::Header(seen, _) => return frames * HEADER - seen,
        };
        rest + frames * HEADER
    }
}
