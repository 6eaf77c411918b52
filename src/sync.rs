//! What threads share: atomics, bells, values that are replaced as a whole.
//!
//! These are the types of std, arc-swap and Tokio, and outside tests nothing else. In tests each is in a wrapping that does the same,
//! and before it, where a model runs, lets the model's scheduler choose which thread goes on (`watched`, `models`). So what is used
//! between threads, and is worth a model, comes from here.

#[cfg(test)]
pub(crate) mod models;
#[cfg(test)]
mod watched;

#[cfg(not(test))]
pub(crate) use {
    arc_swap::ArcSwap,
    std::sync::Mutex,
    std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize},
    tokio::sync::{Notify, watch},
    tokio::task::spawn_blocking,
};

#[cfg(test)]
pub(crate) use watched::{ArcSwap, AtomicBool, AtomicU64, AtomicUsize, Mutex, Notify, spawn_blocking, watch};
