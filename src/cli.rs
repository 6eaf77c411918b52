//! The verbs, one file each. Nothing else of the library reads arguments or writes to standard output.

pub mod explain;
pub mod healthcheck;
mod query;
pub mod retry;
