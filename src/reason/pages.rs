//! What `bearerd explain CODE` says: for each reason what happened, what may lie behind it, and what to do about it.
//!
//! Owns the texts, in one file for each letter. The match is exhaustive, so that a new reason does not compile without its page.

mod callers;
mod configuration;
mod dpop;
mod fleet;
mod tokens;
mod upstreams;

use super::Reason;

/// The page of one reason, in plain sentences.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// What it means, and what bearerd does meanwhile.
    pub meaning: &'static str,
    /// What may lie behind it, the likeliest first.
    pub causes: &'static [&'static str],
    /// What to do, the first thing first.
    pub cures: &'static [&'static str],
    /// Where a person meets it.
    pub shows: &'static str,
}

impl Reason {
    /// Its page.
    pub const fn page(self) -> Page {
        match self {
            Self::TokenPending => tokens::PENDING,
            Self::TokenUnreachable => tokens::UNREACHABLE,
            Self::TokenTls => tokens::TLS,
            Self::TokenTimeout => tokens::TIMEOUT,
            Self::TokenServerError => tokens::SERVER_ERROR,
            Self::TokenRateLimited => tokens::RATE_LIMITED,
            Self::TokenMalformed => tokens::MALFORMED,
            Self::TokenIllegal => tokens::ILLEGAL,
            Self::TokenProxy => tokens::PROXY,
            Self::TokenIssuer => tokens::ISSUER,
            Self::TokenRefused => tokens::REFUSED,
            Self::TokenDenied => tokens::DENIED,
            Self::TokenRedirected => tokens::REDIRECTED,
            Self::SecretUnreadable => tokens::SECRET_UNREADABLE,
            Self::TokenProxyRefused => tokens::PROXY_REFUSED,
            Self::TokenSpent => tokens::SPENT,
            Self::TokenStateLost => tokens::STATE_LOST,
            Self::TokenProofRefused => dpop::PROOF_REFUSED,
            Self::TokenNotBound => dpop::NOT_BOUND,
            Self::TokenNotRevoked => tokens::NOT_REVOKED,
            Self::TokenNotAccepted => tokens::NOT_ACCEPTED,
            Self::ProofNotAccepted => dpop::PROOF_NOT_ACCEPTED,
            Self::StoreAway => fleet::AWAY,
            Self::StoreUnusable => fleet::UNUSABLE,
            Self::TokenBudget => fleet::BUDGET,
            Self::UpstreamConnect => upstreams::CONNECT,
            Self::UpstreamName => upstreams::NAME,
            Self::UpstreamTls => upstreams::TLS,
            Self::UpstreamConnectTime => upstreams::CONNECT_TIME,
            Self::UpstreamSilent => upstreams::SILENT,
            Self::UpstreamClosed => upstreams::CLOSED,
            Self::UpstreamMalformed => upstreams::MALFORMED,
            Self::UpstreamLoop => upstreams::LOOP,
            Self::UpstreamProxy => upstreams::PROXY,
            Self::UpstreamProxyRefused => upstreams::PROXY_REFUSED,
            Self::UpstreamNoUpgrade => upstreams::NO_UPGRADE,
            Self::NoRoute => callers::NO_ROUTE,
            Self::CrossSite => callers::CROSS_SITE,
            Self::HostNotAllowed => callers::HOST,
            Self::MethodNotAllowed => callers::METHOD,
            Self::BadRequest => callers::BAD_REQUEST,
            Self::CallerNotAllowed => callers::NOT_ALLOWED,
            Self::BodyTimeout => callers::BODY_TIMEOUT,
            Self::BadExpectation => callers::EXPECTATION,
            Self::Draining => callers::DRAINING,
            Self::CallerGone => callers::GONE,
            Self::HeadTimeout => callers::HEAD_TIMEOUT,
            Self::HeadTooLarge => callers::HEAD_TOO_LARGE,
            Self::TooManyRequests => callers::TOO_MANY_REQUESTS,
            Self::TooManyConnections => callers::TOO_MANY_CONNECTIONS,
            Self::CallerTls => callers::TLS,
            Self::ProtocolNotAllowed => callers::PROTOCOL,
            Self::CallerKey => callers::KEY,
            Self::AnswerUnread => callers::ANSWER_UNREAD,
            Self::ConfigUnreadable => configuration::UNREADABLE,
            Self::ConfigSyntax => configuration::SYNTAX,
            Self::ConfigUnknownKey => configuration::UNKNOWN_KEY,
            Self::ConfigNotYet => configuration::NOT_YET,
            Self::ConfigWrongValue => configuration::WRONG_VALUE,
            Self::ConfigMissing => configuration::MISSING,
            Self::ConfigContradiction => configuration::CONTRADICTION,
            Self::ConfigPlainHttp => configuration::PLAIN_HTTP,
            Self::ConfigExposed => configuration::EXPOSED,
            Self::ConfigSecret => configuration::SECRET,
            Self::ConfigFile => configuration::FILE,
            Self::ListenFailed => configuration::LISTEN,
            Self::ListenInherited => configuration::INHERITED,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Words with which a sentence tells somebody to do something.
    const ACTIONS: &[&str] = &[
        "add",
        "ask",
        "change",
        "check",
        "choose",
        "correct",
        "fetch",
        "give",
        "look",
        "make",
        "move",
        "nothing to do",
        "open",
        "point",
        "raise",
        "read",
        "remove",
        "replace",
        "run",
        "see",
        "send",
        "set",
        "shorten",
        "start",
        "stop",
        "take",
        "test",
        "try",
        "use",
        "wait",
        "write",
    ];

    fn is_sentence(text: &str) -> bool {
        text.len() > 15 && text.ends_with(['.', ':', '"', ']']) && !text.contains("  ") && text.trim() == text
    }

    #[test]
    fn every_reason_has_a_page_of_its_own_with_meaning_cause_cure_and_place() {
        let mut meanings = HashSet::new();
        for reason in Reason::ALL {
            let page = reason.page();
            assert!(meanings.insert(page.meaning), "{reason}: the meaning is another reason's");
            assert!(is_sentence(page.meaning), "{reason}: {:?}", page.meaning);
            assert!(is_sentence(page.shows), "{reason}: {:?}", page.shows);
            assert!(!page.causes.is_empty() && !page.cures.is_empty(), "{reason}");
            for text in page.causes.iter().chain(page.cures) {
                assert!(is_sentence(text), "{reason}: {text:?}");
            }
        }
        assert_eq!(meanings.len(), Reason::ALL.len());
    }

    #[test]
    fn every_cure_begins_with_an_action() {
        let mut looked = 0;
        for reason in Reason::ALL {
            for cure in reason.page().cures {
                let cure = cure.to_lowercase();
                assert!(ACTIONS.iter().any(|action| cure.starts_with(action)), "{reason}: {cure:?}");
                looked += 1;
            }
        }
        assert!(looked >= Reason::ALL.len());
    }
}
