//! The stable reason codes: one for each failure that a user can meet.
//!
//! Owns the list, and for each code its title, cause and cure. The same code stands in the log line, the metric
//! label, the status page, the problem document and HTTP/1's reason phrase; `bearerd explain CODE` prints
//! its page. A code is never given another meaning; a new failure gets a new code.

pub mod pages;

use std::fmt;
use std::str::FromStr;

macro_rules! reasons {
    ($( $variant:ident $code:literal $title:literal )+) => {
        /// Why something did not happen. `T…` tokens, `U…` upstreams, `C…` callers, `F…` configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $( #[doc = $title] $variant, )+
        }

        impl Reason {
            /// Every reason there is, in the order of the codes.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The code: a letter and three digits.
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )+ }
            }

            /// What happened, in a few lower-case words.
            pub const fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )+ }
            }
        }
    };
}

reasons! {
    // Tokens: there is none, or none could be had.
    TokenPending        "T001" "no token yet: the first token request has not been answered"
    TokenUnreachable    "T010" "token endpoint cannot be reached"
    TokenTls            "T011" "TLS with the token endpoint failed"
    TokenTimeout        "T012" "token endpoint did not answer in time"
    TokenServerError    "T013" "token endpoint failed"
    TokenRateLimited    "T014" "token endpoint asks for fewer requests"
    TokenMalformed      "T015" "token endpoint's answer cannot be understood"
    TokenIllegal        "T016" "token endpoint's answer has no usable token"
    TokenProxy          "T017" "proxy on the way to the token endpoint failed"
    TokenIssuer         "T018" "issuer's metadata cannot be used"
    TokenRefused        "T020" "token endpoint refused the request"
    TokenDenied         "T021" "token endpoint refused the login"
    TokenRedirected     "T022" "token endpoint redirected the request"
    SecretUnreadable    "T023" "a secret of the credential cannot be read"
    TokenProxyRefused   "T024" "proxy on the way to the token endpoint refused"
    TokenSpent          "T025" "refresh token is not valid any more: it must be given anew"
    TokenStateLost      "T026" "refresh token cannot be kept on disk"
    TokenNotRevoked     "T027" "token could not be given back"
    TokenProofRefused   "T028" "token endpoint refused the DPoP proof"
    TokenNotBound       "T029" "token endpoint issued a token that is bound to no key"
    TokenNotAccepted    "T030" "upstream rejected a fresh token too"
    ProofNotAccepted    "T031" "upstream refused the DPoP proof"
    StoreAway           "T032" "token store does not answer"
    StoreUnusable       "T033" "token store cannot be used"
    TokenBudget         "T034" "budget of token requests is spent"
    // Upstreams: the forwarded request got no answer.
    UpstreamConnect     "U001" "upstream cannot be reached"
    UpstreamName        "U002" "upstream's name cannot be resolved"
    UpstreamTls         "U003" "TLS with the upstream failed"
    UpstreamConnectTime "U004" "connecting to the upstream took too long"
    UpstreamSilent      "U005" "upstream did not answer in time"
    UpstreamClosed      "U006" "upstream closed the connection before it answered"
    UpstreamMalformed   "U007" "upstream's answer is not valid HTTP"
    UpstreamLoop        "U008" "the request came back to where it came from"
    UpstreamProxy       "U009" "proxy on the way to the upstream failed"
    UpstreamProxyRefused "U010" "proxy on the way to the upstream refused"
    UpstreamNoUpgrade   "U011" "upstream does not change to the protocol that was asked for"
    // Callers: the request is refused.
    NoRoute             "C001" "no route for this request"
    CrossSite           "C002" "a web page of another site made this request"
    HostNotAllowed      "C003" "Host is not allowed"
    MethodNotAllowed    "C004" "method is never forwarded"
    BadRequest          "C005" "request is ambiguous or malformed"
    CallerNotAllowed    "C006" "caller is not allowed"
    BodyTimeout         "C007" "request body stalled"
    BadExpectation      "C008" "expectation cannot be met"
    Draining            "C009" "bearerd is shutting down"
    CallerGone          "C010" "caller went away before its request was answered"
    HeadTimeout         "C011" "request head took too long"
    HeadTooLarge        "C012" "request head is too large"
    TooManyRequests     "C013" "too many requests at a time"
    TooManyConnections  "C014" "too many connections at a time"
    CallerTls           "C015" "TLS handshake with a caller failed"
    CallerKey           "C016" "caller's shared key is missing or wrong"
    ProtocolNotAllowed  "C017" "protocol is not one that the route changes to"
    AnswerUnread        "C018" "caller does not read its answer"
    // Configuration.
    ConfigUnreadable    "F001" "configuration cannot be read"
    ConfigSyntax        "F002" "configuration is not valid TOML"
    ConfigUnknownKey    "F003" "unknown key"
    ConfigNotYet        "F004" "key is not supported yet"
    ConfigWrongValue    "F005" "value is not what the key takes"
    ConfigMissing       "F006" "a required key is missing"
    ConfigContradiction "F007" "keys contradict each other"
    ConfigPlainHttp     "F008" "plain http beyond loopback"
    ConfigExposed       "F009" "listening beyond loopback without a rule who may call"
    ConfigSecret        "F010" "a secret cannot be read"
    ConfigFile          "F011" "a file that the configuration names cannot be used"
    ListenFailed        "F012" "an address cannot be listened on"
    ListenInherited     "F013" "a socket was not handed over, or is none to listen on"
}

impl Reason {
    /// Whether a token endpoint, or a proxy on the way to it, refuses what it is asked with: waiting alone will not cure it.
    pub const fn is_refusal(self) -> bool {
        use Reason::{TokenDenied, TokenProxyRefused, TokenRedirected, TokenRefused, TokenSpent};
        matches!(self, TokenDenied | TokenProxyRefused | TokenRedirected | TokenRefused | TokenSpent)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The text is no reason code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no reason code {0:?}")]
pub struct UnknownCode(pub String);

impl FromStr for Reason {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_and_parses_back() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.code().to_lowercase().parse(), Ok(*reason));
        }
    }
}
