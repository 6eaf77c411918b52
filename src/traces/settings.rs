//! What the operator wants of traces.

use std::time::Duration;

use http::{HeaderName, Uri};

use crate::secret::SecretSource;
use crate::tls::ClientSettings;
use crate::upstream::HttpProxy;

/// `[traces]`, with what OpenTelemetry's variables say where nothing is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where batches are sent, path included.
    pub endpoint: Uri,
    /// Fields of these requests.
    pub headers: Vec<(HeaderName, SecretSource)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// What the spans are about: `service.name` and more, no name twice.
    pub resource: Vec<(String, String)>,
    /// TLS towards the collector.
    pub tls: ClientSettings,
    /// The proxy on the way to the collector.
    pub proxy: Option<HttpProxy>,
    /// How spans are gathered.
    pub batches: Batches,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Of those that are decided here, from 0 to 1.
    pub share: f64,
    /// Whether a caller that says has decided already.
    pub follows_callers: bool,
}

/// How spans are gathered and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// The longest that a span waits for others. Default 5 s.
    pub delay: Duration,
    /// Spans in one request at most. Default 512.
    pub size: usize,
    /// Spans that wait at most, further ones are dropped. Default 2,048.
    pub queue: usize,
    /// One request to the collector. Default 10 s.
    pub request: Duration,
    /// A batch with all that is tried for it. Default 30 s.
    pub patience: Duration,
}

impl Batches {
    /// The defaults of OpenTelemetry's specification.
    pub const USUAL: Self = Self {
        delay: Duration::from_secs(5),
        size: 512,
        queue: 2048,
        request: Duration::from_secs(10),
        patience: Duration::from_secs(30),
    };
}

impl Sampler {
    /// What callers say, and all that begin here.
    pub const USUAL: Self = Self { share: 1.0, follows_callers: true };

    /// Whether a trace is recorded. `said` is whether the caller records it, if there is one who says. The share is taken by the id
    /// of the trace, so that all who take the same share take the same traces.
    pub fn takes(&self, trace_id: u128, said: Option<bool>) -> bool {
        if let Some(said) = said.filter(|_| self.follows_callers) {
            return said;
        }
        // The low 63 bits as a share of all that they can be; the exactness of a float is enough.
        let place = (trace_id as u64 >> 1) as f64 / (1_u64 << 63) as f64;
        self.share >= 1.0 || place < self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_says_has_decided_unless_nobody_listens() {
        let check = |share: f64, follows_callers: bool, said: Option<bool>, wanted: bool| {
            let sampler = Sampler { share, follows_callers };
            assert_eq!(sampler.takes(7, said), wanted, "{sampler:?} {said:?}");
        };
        check(0.0, true, Some(true), true);
        check(1.0, true, Some(false), false);
        check(1.0, true, None, true);
        check(0.0, true, None, false);
        check(1.0, false, Some(false), true);
        check(0.0, false, Some(true), false);
    }

    #[test]
    fn the_share_goes_by_the_id_of_the_trace() {
        let half = Sampler { share: 0.5, follows_callers: true };
        assert!(half.takes(0, None) && half.takes(u128::from(u64::MAX >> 2), None));
        assert!(!half.takes(u128::from(u64::MAX), None) && !half.takes(u128::MAX, None));
        assert!(half.takes(u128::MAX << 64, None), "the high half does not matter");
        let taken = (0..10_000).filter(|_| half.takes(fastrand::u128(..), None)).count();
        assert!((4500..5500).contains(&taken), "{taken}");
    }
}
