//! Which settings ask the same server for the same, so that a token of the one is a token of the other.

use std::time::Duration;

use super::{Assertion, ClientAuthentication, GrantProof, Settings, Signer};

impl Settings {
    /// Whether they differ at most in figures: in how long to wait, how to take a failure, how to give tokens back. Whoever asks whom for what, with what, and
    /// which token of the answer is taken and for how long, is the same. A secret is the same if it stands in the same place, as it is for a
    /// credential whose settings stay.
    pub fn asks_for_the_same_as(&self, other: &Self) -> bool {
        self.clone().without_figures() == other.clone().without_figures()
    }

    /// With the same figures whatever they are. What is not named here makes a difference, so that nothing new is forgotten.
    fn without_figures(mut self) -> Self {
        self.permanent.clear();
        self.use_refresh_token = false;
        self.timeout = Duration::ZERO;
        self.login.revocation = None;
        self.response.expect_status.clear();
        self.response.error_code.clear();
        self.response.error_message.clear();
        if let ClientAuthentication::Jwt(jwt) = &mut self.client {
            without_lifetime(&mut jwt.assertion);
        }
        if let GrantProof::Assertion(assertion) = &mut self.proof {
            without_lifetime(assertion);
        }
        self
    }
}

fn without_lifetime(assertion: &mut Assertion) {
    if let Assertion::Signed(signer) = assertion {
        signer.lifetime = Signer::USUAL_LIFETIME;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AssertionKey, PermanentRule, Step};
    use crate::oauth::Settings;
    use crate::oauth::testing::settings;
    use crate::secret::SecretSource;

    use super::*;

    fn is_same(change: impl FnOnce(&mut Settings)) -> bool {
        let (before, mut after) = (settings(), settings());
        change(&mut after);
        let is_same = before.asks_for_the_same_as(&after);
        assert_eq!(after.asks_for_the_same_as(&before), is_same);
        is_same
    }

    #[test]
    fn figures_make_no_difference() {
        assert!(is_same(|_| {}));
        assert!(is_same(|s| s.timeout *= 2));
        assert!(is_same(|s| s.permanent = vec![PermanentRule { status: Some(400), ..PermanentRule::default() }]));
        assert!(is_same(|s| s.use_refresh_token = !s.use_refresh_token));
        assert!(is_same(|s| s.response.error_code = "/code".to_owned()));
        assert!(is_same(|s| s.response.expect_status = vec![201]));
    }

    #[test]
    fn the_life_of_an_assertion_is_a_figure_and_its_key_is_none() {
        let with = |key: &str, seconds| {
            let key = AssertionKey::Private(SecretSource::inline(key));
            let signer = Signer { lifetime: Duration::from_secs(seconds), ..Signer::new(key) };
            Settings { proof: GrantProof::Assertion(Assertion::Signed(Box::new(signer))), ..settings() }
        };
        assert!(with("k", 60).asks_for_the_same_as(&with("k", 90)));
        assert!(!with("k", 60).asks_for_the_same_as(&with("other", 60)));
    }

    #[test]
    fn who_asks_whom_for_what_and_which_token_is_taken_does() {
        let step = || {
            let shape = crate::oauth::settings::Shape {
                endpoint: None,
                method: http::Method::POST,
                encoding: super::super::Encoding::Form,
                params: Vec::new(),
                headers: Vec::new(),
            };
            Step { name: "a".to_owned(), shape, expect_status: Vec::new() }
        };
        assert!(!is_same(|s| s.endpoint = super::super::Endpoint::Given("http://127.0.0.1/other".parse().unwrap())));
        assert!(!is_same(|s| s.scope = Some("more".to_owned())));
        assert!(!is_same(|s| s.audience = Some("a".to_owned())));
        assert!(!is_same(|s| s.password = Some(SecretSource::inline("another"))));
        assert!(!is_same(|s| s.client = ClientAuthentication::Public { id: SecretSource::inline("another") }));
        assert!(!is_same(|s| s.response.access_token = "/id_token".to_owned()));
        assert!(!is_same(|s| s.response.default_lifetime *= 2));
        assert!(!is_same(|s| s.legal.cookie = !s.legal.cookie));
        assert!(!is_same(|s| s.login.steps = vec![step()]));
    }
}
