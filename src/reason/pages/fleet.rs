//! The token store, and the budget of token requests.

use super::Page;

pub(super) const AWAY: Page = Page {
    meaning: "The token store of [store] cannot be reached or does not answer within its timeout. Every instance goes on as if it were alone: it renews its \
        own tokens and answers its callers. Only a refresh token that is the single credential is not used meanwhile, since two \
        instances that use it would lose it. bearerd looks for the store all the time and joins the others again by itself.",
    causes: &[
        "The Redis is down, being restarted or failing over.",
        "A network policy or firewall does not let this instance to it.",
        "url, the port, or the name of Sentinel's master is wrong.",
        "The Redis is so busy, or so far away, that it takes longer than store.timeout.",
    ],
    cures: &[
        "Read the log line: it holds what the system or the server said.",
        "Check the way from where bearerd runs: redis-cli -u URL ping.",
        "Nothing to do if it passes by itself: callers do not notice.",
    ],
    shows: "The log, and bearerd_store_up; a request sees it only where the grant is refresh_token and the token has expired: a 503.",
};

pub(super) const UNUSABLE: Page = Page {
    meaning: "The token store answers, but not as one: it refuses (a password, a right, no memory left, read-only), or an entry in it cannot be opened \
        or understood. Such an entry counts as none and is replaced; bearerd goes on as if alone where it must.",
    causes: &[
        "The password or the ACL user is wrong, or may not use a command, a key or a channel that bearerd needs.",
        "The Redis has reached maxmemory with the policy noeviction.",
        "The server is a replica, which takes no writes.",
        "Instances have different seal keys: then they do not find each other's entries; or somebody changed an entry.",
        "The directory of the file store is full, read-only or somebody else's.",
    ],
    cures: &[
        "Read the log line: it holds the server's own words.",
        "Give the user the rights that docs/fleet.md lists.",
        "Give Redis memory, and a policy that evicts nothing that is in use.",
        "Point url at the master, or write sentinel = \"NAME\" so that bearerd asks who it is.",
    ],
    shows: "The log, and bearerd_store_operations_total{outcome=\"failure\"}.",
};

pub(super) const BUDGET: Page = Page {
    meaning: "The credential has a budget of token requests, and it is spent: the whole of it, or the half that rejected tokens may take. No token is asked for \
        until its next time begins; the token that there is serves until it expires. bearerd retry NAME asks all the same.",
    causes: &[
        "Tokens live shorter than the budget allows for: a token of 10 minutes takes some 180 requests a day.",
        "The API rejects tokens again and again, each time at the cost of another.",
        "Instances without a common token store each count for themselves, and restarts begin anew.",
    ],
    cures: &[
        "Raise budget.requests, if the vendor allows it.",
        "Give all instances one token store, so that they share one token: [store].",
        "Ask the vendor for tokens that live longer.",
        "Look at bearerd_token_rejections_total, which says how often the API rejects tokens.",
    ],
    shows: "The log; a request gets 503 once the token has expired, or the API's own rejection while it has not.",
};
