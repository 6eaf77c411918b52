//! `T028`, `T029`, `T031`: DPoP (RFC 9449), which binds tokens to a key.

use super::Page;
use super::tokens::HELD;

pub(super) const PROOF_REFUSED: Page = Page {
    meaning: "The token endpoint does not accept the DPoP proof that came with the token request (RFC 9449). A nonce that it \
        asked for has been sent already, and a clock that differs from the server's Date has been corrected, each by asking once \
        more; that is no failure and is not counted as one. Only when it refuses then too, or says nothing to go by, does this \
        happen. After use_dpop_nonce bearerd tries again within seconds, after invalid_dpop_proof as after any refusal: at \
        growing intervals, sooner if the key file changes.",
    causes: &[
        "This machine's clock is wrong, and a proxy between it and the server takes away or rewrites Date.",
        "The server does not take this algorithm: its metadata lists them as dpop_signing_alg_values_supported.",
        "The server knows itself by another URL than token_endpoint (another host, path or scheme in front of a proxy), so that \
            the htu of the proof is not the one it expects.",
        "use_dpop_nonce twice: several servers behind one name do not accept each other's nonces.",
    ],
    cures: &[
        "Check this machine's clock with date -u, and that it is kept by NTP.",
        "Read the log line: it holds the server's own words.",
        "Set algorithm in [credentials.NAME] dpop to one that the server lists, with a key of that kind; ES256 is taken by nearly \
            all.",
        "Set token_endpoint to the URL that the server's own documentation or metadata names.",
        "Test it with: bearerd check --fetch.",
    ],
    shows: HELD,
};

pub(super) const NOT_BOUND: Page = Page {
    meaning: "dpop is set, but the token endpoint answered with a token whose token_type is not DPoP: it has ignored the proof, \
        and the token is bound to no key. Whoever gets hold of such a token can use it, which is what dpop is there to prevent, \
        so bearerd does not use it (RFC 9449 section 5) and does not fall back to Bearer by itself. It asks again at growing \
        intervals.",
    causes: &[
        "The server does not know DPoP, or it is switched off there.",
        "DPoP is not enabled for this client at the server.",
        "A proxy in front of the server takes away the DPoP header.",
        "The server leaves token_type out of its answer, or has it elsewhere than beside the token.",
    ],
    cures: &[
        "Look at the server's metadata: dpop_signing_alg_values_supported is there if it knows DPoP.",
        "Ask the owner of the server to enable DPoP for this client (often called DPoP-bound access tokens).",
        "Remove dpop from [credentials.NAME] if the upstream takes plain bearer tokens; the token is then sent as Bearer.",
        "Test it with: bearerd check --fetch.",
    ],
    shows: HELD,
};

pub(super) const PROOF_NOT_ACCEPTED: Page = Page {
    meaning: "The upstream refused the DPoP proof and not the token (use_dpop_nonce or invalid_dpop_proof in its challenge). A new \
        token would not help, so none is fetched. A nonce that it asked for, or a clock that differs from its Date, leads to the \
        request being sent once more; this is about the answers that come nevertheless: no better proof could be made, that one was \
        refused too, or the request could not be sent twice. The upstream's answer goes to the caller as it came.",
    causes: &[
        "This machine's clock is wrong, and something on the way takes away or rewrites Date.",
        "The upstream knows itself by another URL than the one in upstream (another host, scheme or path in front of a proxy), so \
            that the htu of the proof is not the one it expects.",
        "The request's body was longer than rejection.replay_body_limit and could not be sent again with the new nonce; the nonce \
            is remembered for the next request.",
        "Several servers behind one name do not accept each other's nonces.",
        "The upstream does not take the algorithm of the key.",
    ],
    cures: &[
        "Check this machine's clock with date -u, and that it is kept by NTP.",
        "Read the challenge: WWW-Authenticate of the answer says what is wrong with the proof, and which algorithms it takes.",
        "Set keep_host = true, or upstream to the URL that the API names as its own, if its htu differs.",
        "Raise replay_body_limit in [credentials.NAME.rejection] if large bodies meet new nonces.",
        "Test one path with: bearerd check --probe /some/path.",
    ],
    shows: "The caller gets the upstream's own answer, with a Proxy-Status field that has this code, and the log has a line at most \
        every ten seconds.",
};
