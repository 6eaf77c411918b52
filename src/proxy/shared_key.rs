//! The key that callers share with bearerd (`callers.key`).
//!
//! Owns its comparison, in constant time, and its renewal when its file or its command's output changes. Keeps a digest alone: the key itself is needed
//! by nobody.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use crate::secret::{self, Secret, SecretError, SecretSource};
use crate::shutdown::Shutdown;

/// Between two looks at where it is kept.
const LOOK: Duration = Duration::from_secs(1);

/// A shared key. Clones see the same one.
#[derive(Clone, Debug)]
pub struct SharedKey {
    source: SecretSource,
    digest: Arc<ArcSwap<Vec<u8>>>,
}

impl SharedKey {
    /// The key as it is now.
    ///
    /// # Errors
    /// [`SecretError`] if it cannot be read.
    pub fn load(source: SecretSource) -> Result<Self, SecretError> {
        let digest = digest_of(&source.read_now()?);
        Ok(Self { source, digest: Arc::new(ArcSwap::from_pointee(digest)) })
    }

    /// Whether these bytes are the key. Digests are compared, so that not even its length shows.
    pub(super) fn is(&self, guess: &[u8]) -> bool {
        let guess = digest(&SHA256, guess);
        guess.as_ref().ct_eq(self.digest.load().as_slice()).into()
    }

    /// Looks whether there is another key now. Returns whether it does.
    async fn renew(&self) -> Result<bool, SecretError> {
        let new = digest_of(&secret::glance(self.source.read()).await?);
        let is_other = **self.digest.load() != new;
        if is_other {
            self.digest.store(Arc::new(new));
        }
        Ok(is_other)
    }

    /// Reads the key again for ever, until shutdown. While it cannot be read the last key holds.
    pub async fn follow(self, mut shutdown: Shutdown) {
        let mut is_told = false;
        if !self.source.may_change() {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => (),
                () = shutdown.fired() => return,
            }
            match self.renew().await {
                Ok(true) => tracing::info!("the shared key of callers has changed and is in use"),
                Ok(false) => (),
                Err(error) if !is_told => {
                    is_told = true;
                    tracing::warn!(error = crate::log::chain(&error), "the shared key of callers stays the last one");
                    continue;
                }
                Err(_) => continue,
            }
            is_told = false;
        }
    }
}

fn digest_of(key: &Secret) -> Vec<u8> {
    digest(&SHA256, key.expose().as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_key_is_that_of_its_file_and_the_last_one_holds_while_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "one\n").unwrap();
        let key = SharedKey::load(SecretSource::File(path.clone())).unwrap();
        let check = |guess: &str, wanted| assert_eq!(key.is(guess.as_bytes()), wanted, "{guess}");
        check("one", true);
        check("one\n", false);
        check("", false);
        check("two", false);
        assert!(!key.renew().await.unwrap());
        std::fs::write(&path, "two").unwrap();
        assert!(key.renew().await.unwrap());
        check("one", false);
        check("two", true);
        std::fs::write(&path, "").unwrap();
        assert!(key.renew().await.is_err());
        check("two", true);
        check("", false);
        assert!(!format!("{key:?}").contains("two"));
    }
}
