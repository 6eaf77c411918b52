//! `T…`: there is no token, or none could be had.

use super::Page;

pub(super) const RETRIED: &str = "While the current token is valid, callers notice nothing; the log and last_error on /status \
    show the failure. Without a valid token, requests that need one get 503 with this code and Retry-After after \
    refresh.wait, and /readyz is 503. bearerd_token_requests_total{outcome=\"transient\"} counts each try.";
pub(super) const HELD: &str = "Without a valid token, requests that need one get 503 with this code (at once while nothing is \
    tried at all, else after refresh.wait), and /readyz is 503. The log and /status say when it is tried again. \
    bearerd_token_latched is 1 while nothing is tried at all.";

pub(super) const PENDING: Page = Page {
    meaning: "bearerd has asked for the first token of this credential and has no answer yet, or the last token has \
        ended and the next one is on its way. Requests wait for it for refresh.wait (10 s unless changed) and are \
        never forwarded without it.",
    causes: &[
        "bearerd has just started.",
        "The token endpoint is slow to answer, but has not failed yet.",
        "The machine was suspended for longer than the token lived.",
    ],
    cures: &[
        "Wait a moment; the next log line of the credential says how it went.",
        "Make the application wait as well: use bearerd healthcheck --started as startup probe, or poll /readyz.",
        "Look at next_fetch_in_seconds and last_error with: curl localhost:9180/status.",
        "Raise wait in [credentials.NAME.refresh] if the token endpoint is always this slow.",
    ],
    shows: "Requests that waited in vain get 503 with this code and Retry-After; /readyz is 503 and names the \
        credential.",
};

pub(super) const UNREACHABLE: Page = Page {
    meaning: "No connection to the token endpoint came about: its name has no address, nobody listens there, or a \
        firewall is in between. bearerd tries again by itself, at growing intervals of at most 30 s, or 4 s while \
        there is no token.",
    causes: &[
        "The token endpoint or the network is down.",
        "The host or port in token_endpoint is wrong.",
        "Name service does not know the host from here (in a container it may differ from the host's).",
        "A firewall or a NetworkPolicy does not let this machine or pod out to it.",
    ],
    cures: &[
        "Check the name from where bearerd runs: getent hosts login.example.com.",
        "Try the connection from there: curl -v https://login.example.com/oauth/token (any HTTP answer will do).",
        "Correct token_endpoint in [credentials.NAME], then test it with: bearerd check --fetch.",
        "Open the way in the firewall or in the NetworkPolicy (egress to port 443, and to port 53 for names).",
    ],
    shows: RETRIED,
};

pub(super) const TLS: Page = Page {
    meaning: "The connection to the token endpoint was made, but the other side could not prove who it is, or speaks \
        no TLS that bearerd accepts (1.2 and 1.3). Nothing secret was sent. There is no switch that turns this check \
        off; bearerd tries again by itself.",
    causes: &[
        "The server's certificate is signed by a company's own authority that this machine does not know.",
        "The certificate has expired, or is for another name than the host in token_endpoint.",
        "A proxy or firewall breaks TLS open and signs with an authority of its own.",
        "The port does not speak TLS at all: the URL should begin with http://, or have another port.",
        "The server wants a client certificate, or another one.",
    ],
    cures: &[
        "Look at what the server shows: openssl s_client -connect login.example.com:443 -servername login.example.com \
            </dev/null.",
        "Add the authority that signed it: [credentials.NAME.tls] ca = \"corp-ca.pem\".",
        "Set server_name in [credentials.NAME.tls] if the certificate is for another name than the one you connect to.",
        "Add the client certificate that it wants: certificate and key in [credentials.NAME.tls].",
        "Check this machine's clock with date: a wrong one makes good certificates look expired.",
        "Ask the owner of the server to renew an expired certificate.",
    ],
    shows: RETRIED,
};

pub(super) const TIMEOUT: Page = Page {
    meaning: "The token endpoint did not answer completely within timeouts.token_request (10 s unless changed), \
        counted from the start of connecting to the last byte. bearerd tries again by itself.",
    causes: &[
        "The token endpoint is overloaded.",
        "A firewall drops the packets silently instead of refusing the connection.",
        "The server accepts connections but hangs before or within its answer.",
    ],
    cures: &[
        "Try it from where bearerd runs: curl -m 30 -w '%{time_connect} %{time_total}' \
            https://login.example.com/oauth/token.",
        "Raise the time if the server is just slow: [timeouts] token_request = \"30s\".",
        "Look at a firewall first if even connecting takes that long.",
    ],
    shows: RETRIED,
};

pub(super) const SERVER_ERROR: Page = Page {
    meaning: "The token endpoint answered, but with a failure of its own (a 5xx, 408 or 425). bearerd tries again by \
        itself; where lockout is true, only every 10 s growing to 10 min, because some servers count each try.",
    causes: &[
        "The token endpoint or the database behind it has an outage.",
        "The server answers 5xx to what it should refuse with 4xx: a missing parameter or a wrong password.",
        "A load balancer in front of it has no server left (502, 503, 504).",
    ],
    cures: &[
        "Read the log line: it holds what the server said. Does it complain about your parameters, then correct them \
            in [credentials.NAME].",
        "Write down a refusal that comes as 5xx, so that it is not tried again and again: \
            [[credentials.NAME.permanent]] status = 500, body_contains = \"…\".",
        "Wait for the outage to end, else ask the owner of the server; afterwards, bearerd retry NAME tries at once.",
    ],
    shows: RETRIED,
};

pub(super) const RATE_LIMITED: Page = Page {
    meaning: "The token endpoint answered 429: too many token requests. bearerd obeys Retry-After up to 5 min and \
        tries again by itself; where there is none and lockout is true, after 10 s, growing to 10 min, because the limit may be one \
        of wrong tries.",
    causes: &[
        "Others use the same client: more replicas, another environment, or a script that asks for a token at every \
            run.",
        "Tokens live so briefly that the renewals alone exceed the limit.",
        "bearerd is restarted in a loop; each start asks for a token.",
    ],
    cures: &[
        "Check how often this bearerd asks: bearerd_token_requests_total on /metrics. One request for each lifetime is \
            normal.",
        "Look for restarts of the process or the pod (systemctl status bearerd, kubectl get pods).",
        "Give every environment a client of its own.",
        "Ask the vendor for a higher limit or for tokens that live longer.",
    ],
    shows: RETRIED,
};

pub(super) const MALFORMED: Page = Page {
    meaning: "The token endpoint said that all is well, but its answer cannot be read: empty, no JSON, form or XML of one meaning, cut short, or \
        longer than 256 KiB. bearerd tries again by itself and keeps the current token meanwhile.",
    causes: &[
        "The URL is not the token endpoint: a web page answers there, often a sign-in form or a portal of the network.",
        "A gateway in front of the server answers 200 with an error page during an outage.",
        "The server's answer is broken.",
    ],
    cures: &[
        "Read the log line: it holds the beginning of the answer.",
        "Correct token_endpoint in [credentials.NAME]; the vendor's documentation or its \
            /.well-known/openid-configuration (token_endpoint) names it.",
        "Test it with: bearerd check --fetch.",
    ],
    shows: RETRIED,
};

pub(super) const ILLEGAL: Page = Page {
    meaning: "The answer was read, but what stands where the token should be is missing or may not be sent in a \
        header: empty, no text, longer than 16 KiB, or with spaces or control characters; or it is a token that has already \
        expired. bearerd tries again by \
        itself and keeps the current token meanwhile.",
    causes: &[
        "The vendor wraps the token in another object, so it is not at /access_token.",
        "The vendor says \"200\" and puts an error into the body.",
        "The token has characters that RFC 6750 does not allow with Bearer, because it is meant for another scheme.",
        "The server hands out one token until it ends, and a little longer.",
    ],
    cures: &[
        "Point to where the token is: [credentials.NAME.response] access_token = \"/data/access_token\" (a JSON \
            Pointer).",
        "Write access_token_header or access_token_cookie instead if the token is in a header field of the answer or is a cookie.",
        "Point to the error's place too, to read it in the log: error_code = \"/error/code\", error_message = \
            \"/error/message\".",
        "Set the scheme that the upstream wants: [credentials.NAME.inject] scheme = \"Token\" (or \"\" for the bare \
            token).",
        "Test it with: bearerd check --fetch.",
    ],
    shows: RETRIED,
};

pub(super) const REFUSED: Page = Page {
    meaning: "The token endpoint answered with a 4xx that is none of the standard refusals. It may mean a wrong secret \
        (some servers answer 403 without a word) or a firewall in front. So as not to lock an account, bearerd tries \
        again after 60 s and then hourly where lockout is true, else after 30 s doubling to 10 min. A changed secret \
        or configuration is tried at once.",
    causes: &[
        "The client secret, the user name or the password is wrong, in a server that does not use the standard error \
            codes.",
        "A parameter that this vendor needs is missing, or comes in the wrong encoding.",
        "The path of token_endpoint does not exist there (404) or does not take POST (405).",
        "A firewall or gateway in front of the server refuses this machine's address.",
    ],
    cures: &[
        "Read the log line: it holds the status and what the server said.",
        "Test one token request by hand with: bearerd check --fetch (it counts as a try at the server).",
        "Correct id, secret, params, encoding or client_authentication in [credentials.NAME].",
        "Write the secret file anew if the secret is wrong; bearerd sees it and asks at once.",
        "Run bearerd retry NAME once the cause outside is mended.",
    ],
    shows: HELD,
};

pub(super) const DENIED: Page = Page {
    meaning: "The token endpoint refused the credentials in so many words (invalid_client, invalid_grant, \
        unauthorized_client, …), or its answer matches a [[permanent]] rule. Trying again cannot cure that and may \
        lock an account. bearerd asks once more after at least 60 s, since servers need time to learn a new secret, \
        and then not again until the configuration or a secret changes, or somebody says retry.",
    causes: &[
        "The secret or password is wrong, has expired, or was rotated at the server but not here.",
        "The account is locked or disabled, or the client may not use this grant (unauthorized_client).",
        "The server wants the client's id and secret elsewhere: in the body instead of in Authorization, or the other \
            way round.",
        "The scope or audience is not granted to this client (invalid_scope, access_denied).",
        "The secret has characters that this server does not expect to be form-encoded in Authorization.",
    ],
    cures: &[
        "Read the log line: it holds the server's own words.",
        "Write the right secret to its file; bearerd sees it and asks at once, without a restart. One that systemd hands over \
            ({ systemd = \"NAME\" }) is copied at start: systemctl restart bearerd.",
        "Change client_authentication in [credentials.NAME] to \"client_secret_post\" (or \"client_secret_basic\") if \
            the server takes it only there; for odd servers try basic_encoding = \"raw\".",
        "Correct scope, audience or grant_type in [credentials.NAME], then reload bearerd (SIGHUP, systemctl reload bearerd).",
        "Run bearerd retry NAME after mending something at the server (an unlocked account, a granted scope).",
        "Test it with: bearerd check --fetch.",
    ],
    shows: HELD,
};

pub(super) const REDIRECTED: Page = Page {
    meaning: "The token endpoint answered with a redirect (3xx). bearerd never follows one, because it would hand the \
        secret to whoever is named there. Nothing was sent to the target; the log line names it. bearerd asks once more after \
        60 s, and then not again until the configuration or a secret changes, or somebody says retry.",
    causes: &[
        "The URL begins with http:// and the server sends everybody to https://.",
        "The server has moved, or wants (or does not want) a slash at the end of the path.",
        "The request is sent to a sign-in page because the URL is not the token endpoint.",
    ],
    cures: &[
        "Set token_endpoint in [credentials.NAME] to the address in the log line if that is the one you trust.",
        "Ask the vendor's documentation for the token endpoint if the target is a sign-in page.",
        "Test it with: bearerd check --fetch.",
    ],
    shows: HELD,
};

pub(super) const SECRET_UNREADABLE: Page = Page {
    meaning: "A secret that the token request needs cannot be read just now, so nothing was sent. Secrets are read \
        again (and commands run again) at every token request; bearerd tries again by itself and keeps the current token \
        meanwhile. A command that failed is run again after 2 s, then after twice as long, up to 10 s.",
    causes: &[
        "The file is being rotated: it is missing or empty for a moment.",
        "The user that bearerd runs as may not read the file, or may not execute the command.",
        "The volume or the secret is not mounted, or the path is wrong.",
        "The command failed, did not end within its timeout (10 s unless changed), or printed nothing or more than 64 KiB.",
        "The command works for a person only: it needs a variable, a login or a terminal that bearerd does not have.",
        "The file is not UTF-8 text, or is not the JSON that pointer looks into.",
    ],
    cures: &[
        "Check the file that the log line names, as bearerd's user: ls -lL FILE, and wc -c FILE for an empty one.",
        "Give that user the right to read it: chown and chmod 0400, or LoadCredential= in the systemd unit.",
        "Look whether the secret is mounted in the pod: kubectl exec POD -- ls -l /run/secrets.",
        "Run the command by hand as bearerd's user, with nothing on its standard input: sudo -u bearerd PROGRAM … </dev/null. It gets \
            bearerd's environment without any BEARERD_ variable and without those that hold secrets of the configuration.",
        "Raise timeout beside command if it is just slow.",
        "Write the file anew; it is read within seconds, without a restart.",
    ],
    shows: RETRIED,
};

pub(super) const NOT_ACCEPTED: Page = Page {
    meaning: "The upstream rejected the token, bearerd fetched a new one and sent the request again, and the upstream \
        rejected that too. The upstream's answer goes to the caller as it came. Since new tokens do not help, bearerd \
        asks for the next one only after a gap that grows from 1 s to rejection.gap.",
    causes: &[
        "The token is for another audience, scope or environment than this upstream.",
        "The upstream wants the token in another header or with another scheme.",
        "The client may have tokens but has no rights at this path, and the upstream says 401 instead of 403.",
        "The clocks of the upstream and the authorization server differ, or a new token needs a while to be known \
            there.",
    ],
    cures: &[
        "See what the token says (never the token itself): bearerd check --fetch prints claims, audience, scope and lifetime.",
        "Test one path with the token: bearerd check --probe /some/path.",
        "Set audience, resource or scope in [credentials.NAME] to what the upstream's documentation names.",
        "Set header or scheme in [credentials.NAME.inject] if the upstream wants the token elsewhere.",
        "Ask the upstream's owner why the token is not accepted; WWW-Authenticate of the answer often says it.",
    ],
    shows: "The caller gets the upstream's own answer, with a Proxy-Status field that says so. \
        bearerd_token_rejections_total{action=\"passed_again\"} counts it, and the log has a line.",
};

pub(super) const PROXY: Page = Page {
    meaning: "The token endpoint is to be reached through an HTTP proxy, and the proxy cannot be reached, does not answer as \
        one, or could not get further (a 5xx to our CONNECT). bearerd never goes around a proxy; it tries again by itself.",
    causes: &[
        "The proxy is down, or its address in proxy or HTTPS_PROXY is wrong.",
        "The proxy cannot resolve or reach the token endpoint's host from where it stands.",
        "The port is not that of an HTTP proxy, or the proxy wants TLS (https:// in its URL) or none.",
        "An HTTPS_PROXY of the environment is used where none was meant.",
    ],
    cures: &[
        "Try it from where bearerd runs: curl -v --proxy http://proxy:3128 https://login.example.com/oauth/token.",
        "Correct proxy in [credentials.NAME] or HTTPS_PROXY in the environment; the log line names the proxy.",
        "Write proxy = \"none\" in [credentials.NAME], or the host into NO_PROXY, if it is to be reached directly.",
    ],
    shows: RETRIED,
};

pub(super) const PROXY_REFUSED: Page = Page {
    meaning: "The HTTP proxy on the way to the token endpoint answered, and does not let us through. After a 407 its login is \
        not tried again for 60 s and then for an hour at a time, so that no account is locked; a new URL of the proxy in \
        its file is tried at once. After any other status bearerd tries again at growing intervals.",
    causes: &[
        "407: the proxy wants a login and none is configured, or user name or password are wrong.",
        "407: the proxy offers only NTLM, Negotiate or Digest; bearerd speaks Basic.",
        "403 or 405: the proxy's rules do not allow this host or this port.",
    ],
    cures: &[
        "Give the proxy a login: proxy = { file = \"…\" } with http://USER:PASSWORD@HOST:PORT in the file, %-encoded.",
        "Run bearerd retry NAME once the account works again.",
        "Ask the proxy's owner to allow the token endpoint's host and port for this machine.",
        "Write proxy = \"none\" in [credentials.NAME], or the host into NO_PROXY, if it is to be reached directly.",
    ],
    shows: HELD,
};

pub(super) const ISSUER: Page = Page {
    meaning: "The credential has an issuer instead of a token_endpoint, and the document in which the issuer says where its token \
        endpoint is could not be read or may not be believed. Nothing secret was sent. Documents that were read once go on serving; \
        bearerd tries again by itself.",
    causes: &[
        "issuer is not written exactly as the server names itself: a slash at the end, http for https, another path.",
        "The server has no such document: it does not do discovery, or has it for another path (a tenant, a realm).",
        "The document names a token endpoint that is plain http or no URL.",
        "Somebody answers in the server's place: a gateway's error page, a proxy.",
    ],
    cures: &[
        "Read the document: curl https://ISSUER/.well-known/openid-configuration, and copy its \"issuer\" into the configuration.",
        "Write token_endpoint instead of issuer, from the server's own documentation.",
        "Correct the host names in the server's own settings if it names an address that only it can reach.",
    ],
    shows: RETRIED,
};

pub(super) const SPENT: Page = Page {
    meaning: "The credential's grant is refresh_token, and the server does not take the refresh token any more. There is no other \
        way to a token: a person must authorise bearerd again. Whether a use of it was left without an answer is said in the message.",
    causes: &[
        "The refresh token has expired, or was not used for longer than the server allows.",
        "Somebody revoked it, or the account's password was changed.",
        "It was used elsewhere too: servers that rotate refresh tokens take a second use for theft and revoke everything.",
        "The answer to its last use was lost (a crash, a broken connection), so that its successor never arrived.",
        "state_directory is not kept over restarts, so that a restart began with the first refresh token again.",
    ],
    cures: &[
        "Write a new refresh token, from where the first came from, in place of the old one; bearerd notices by itself.",
        "Make sure that state_directory is on storage that survives restarts, and that each refresh token is given to one installation alone.",
        "Set a reuse interval at the server, if it has one: it then takes the last refresh token again for some seconds.",
    ],
    shows: HELD,
};

pub(super) const STATE_LOST: Page = Page {
    meaning: "The grant is refresh_token, and what must be on disk before a refresh token is used (or after it was replaced) cannot be \
        written to state_directory, or another process holds it. Using the token all the same could lose it for good at the next \
        crash, so bearerd waits and tries again.",
    causes: &[
        "state_directory is full, read-only, or belongs to another user.",
        "Another bearerd with the same state_directory renews the same credential just now and does not come to an end.",
        "The file of the refresh token was damaged by somebody.",
    ],
    cures: &[
        "Look at the message: it has what the system says, and the path.",
        "Make state_directory writable for the user that bearerd runs as (systemd: StateDirectory=bearerd).",
        "Move the file away if it is damaged, and give a new refresh token.",
    ],
    shows: RETRIED,
};

pub(super) const NOT_REVOKED: Page = Page {
    meaning: "bearerd has ended, and [credentials.NAME.revocation] asks for its tokens to be given back, but the endpoint could not be \
        reached within 3 s or did not accept the request. Nothing else follows from it: the exit code is that of the drain, and the \
        tokens end when they expire.",
    causes: &[
        "The endpoint cannot be reached any more: the network of a container may end before the container does.",
        "The request is not the one that the server wants: another method, another field, other client authentication.",
        "The server does not revoke tokens of this kind (RFC 7009: unsupported_token_type).",
        "The session had ended already, so that there was nothing to log out of.",
    ],
    cures: &[
        "Read the log line: it holds the status and what the server said.",
        "Correct endpoint, method, encoding, token_field, params or headers in [credentials.NAME.revocation].",
        "Write on_shutdown = false in [credentials.NAME.revocation] if the tokens need not be given back.",
    ],
    shows: "The log line is all: by then nobody is answered any more.",
};
