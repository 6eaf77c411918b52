//! How long and how hard: `./reliability` fits into an hour, `./reliability --full` is what RELIABILITY states.

/// Whether the stated lengths are wanted.
pub(crate) fn is_full() -> bool {
    std::env::var_os("BEARERD_RELIABILITY").is_some_and(|wanted| wanted == "full")
}

/// This in a short run, that in a full one.
pub(crate) fn scaled<T>(short: T, full: T) -> T {
    if is_full() { full } else { short }
}
