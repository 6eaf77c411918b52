//! Sees when the files of the configuration change.
//!
//! Files are compared by content, so that it makes no difference how they are replaced: in place, by a rename, or by the `..data`
//! link of a Kubernetes volume. What has changed is reported when it looks the same twice: an editor may be half way through.

use std::time::Duration;

use crate::config::{self, Sources};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// What the files held when the configuration was last read, and what was seen since.
#[derive(Debug)]
pub(super) struct Watch {
    known: [u8; 32],
    suspect: Option<[u8; 32]>,
}

impl Watch {
    /// To be made before the configuration is read: a change in between must not be missed.
    pub(super) fn new(known: [u8; 32]) -> Self {
        Self { known, suspect: None }
    }

    /// The configuration is about to be read for another reason, and this is what its files hold.
    pub(super) fn knows(&mut self, print: [u8; 32]) {
        self.known = print;
    }

    /// Waits until the files hold something else than before, and remembers that. Cancel-safe.
    pub(super) async fn changed(&mut self, sources: &Sources) {
        loop {
            tokio::time::sleep(LOOK).await;
            if print(sources).await.is_some_and(|print| self.notes(print)) {
                return;
            }
        }
    }

    /// Whether this is news that has settled.
    fn notes(&mut self, print: [u8; 32]) -> bool {
        let is_settled = self.suspect.replace(print) == Some(print);
        let is_news = is_settled && print != self.known;
        if is_news {
            self.known = print;
        }
        is_news
    }
}

/// [`config::print`], which may have to wait for a file system that has gone away: this thread has more to do.
pub(super) async fn print(sources: &Sources) -> Option<[u8; 32]> {
    let sources = sources.clone();
    tokio::task::spawn_blocking(move || config::print(&sources)).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_news_once_and_when_it_has_settled() {
        let [old, half, new] = [[0; 32], [1; 32], [2; 32]];
        let mut watch = Watch::new(old);
        let looks = [old, old, half, new, new, new, old, new, old, old, old];
        let news: Vec<_> = looks.iter().map(|print| watch.notes(*print)).collect();
        let wanted = [false, false, false, false, true, false, false, false, false, true, false];
        assert_eq!(news, wanted);
        watch.knows(new);
        assert!([new, new, new].iter().all(|print| !watch.notes(*print)));
    }
}
