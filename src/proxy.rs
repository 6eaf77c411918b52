//! One request from head to tail.
pub mod settings;
