//! No limits to lift, and no way to forbid what Windows lets programs of one user do to each other.

/// What Unix systems grant and this one does not, for the log.
pub fn harden() -> Vec<String> {
    let unguarded = "the memory of this process can be read, and dumped to a file, by other programs of the same user: run it as a \
        user of its own, with dumps by Windows Error Reporting off";
    vec![unguarded.to_owned()]
}

/// The limits that [`harden`] changes: none.
#[derive(Debug)]
pub struct Limits;

impl Limits {
    /// As they are now.
    pub fn now() -> Self {
        Self
    }

    /// Does something under these limits, to start another program above all.
    pub fn lend<T>(&self, something: impl FnOnce() -> T) -> T {
        something()
    }
}

/// There is no limit to raise.
pub(crate) fn want_open_files(_wanted: usize) {}

/// How many files this process may have open: memory is the only limit.
pub fn open_files() -> usize {
    usize::MAX
}
