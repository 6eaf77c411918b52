//! What fuzzing wants of the client side.

pub(crate) use super::http1::fuzzing::{answer, written};
