//! `C…`: the caller's request is refused.

use super::Page;

pub(super) const NO_ROUTE: Page = Page {
    meaning: "No route of this listener takes the request's host and path. Routes with a matching host come first, \
        then the longest path that is a whole-segment prefix: /billing takes /billing and /billing/7, not /billings.",
    causes: &[
        "The path in the application's base URL lacks the route's prefix, or has it twice.",
        "The request went to another listener than the route's own.",
        "The route has a host, and the request's Host is another one.",
    ],
    cures: &[
        "Look at what goes where: the lines that bearerd run prints at start, or routes on localhost:9180/status.",
        "Correct the application's base URL, or path and host in [routes.NAME].",
        "Add a route with path = \"/\" if everything else should go somewhere too.",
    ],
    shows: "The caller gets 404 as application/problem+json with this code, which an upstream's own 404 does not have. \
        bearerd_refused_total{reason=\"C001\"} counts it.",
};

pub(super) const CROSS_SITE: Page = Page {
    meaning: "A browser marked the request as made by a web page of another site (Sec-Fetch-Site, or a foreign or null \
        Origin). Any page that somebody opens on this machine could otherwise act at the upstream in your name, so \
        such requests are refused.",
    causes: &[
        "A web page tried to reach a local port. If you do not know it, this is an attack that failed.",
        "Your own page, served from another port or host, calls bearerd from the browser.",
        "A client sets Origin although it is no browser, for instance a WebSocket library.",
    ],
    cures: &[
        "Move the call from the browser to the application's server side: bearerd serves programs, not pages.",
        "Make the page call its own origin, and let that server call bearerd.",
        "Remove Origin and Sec-Fetch-Site from the requests of a client that is no browser.",
        "Open localhost:9180/status by typing its address instead of following a link.",
    ],
    shows: "The caller gets 403 with this code, on the proxy and on the admin listener; nothing is sent to the \
        upstream. bearerd_refused_total{reason=\"C002\"} counts it.",
};

pub(super) const HOST: Page = Page {
    meaning: "The request's Host is none that bearerd expects. A web page can give itself a name that points to \
        127.0.0.1 (DNS rebinding) and reach a local port that way; its own name in Host gives it away. Always allowed \
        are localhost, *.localhost, loopback addresses, the address the connection came in on, and the names in the \
        configuration; on listeners beyond loopback also names without a dot, *.svc, *.cluster.local and *.internal.",
    causes: &[
        "The application calls bearerd by a name from /etc/hosts or Docker Compose.",
        "A proxy in front of bearerd passes on the Host that it was called with.",
        "The application sets Host to the upstream's name; bearerd does that by itself.",
        "A web page tried to reach a local port under a name of its own.",
    ],
    cures: &[
        "Add the name that the answer shows: [callers] hosts = [\"php-proxy\"].",
        "Change the application's base URL to http://localhost:8080.",
        "Remove a Host that the application sets itself.",
    ],
    shows: "The caller gets 421 with this code and the line to add, on the proxy and on the admin listener. \
        bearerd_refused_total{reason=\"C003\"} counts it.",
};

pub(super) const METHOD: Page = Page {
    meaning: "CONNECT and TRACE are never forwarded. CONNECT would make bearerd a tunnel to anywhere, and TRACE would \
        echo the token back to the caller.",
    causes: &[
        "The application uses bearerd as a forward proxy (HTTPS_PROXY or proxy settings) instead of as the API's \
            address.",
        "A security scanner tries TRACE.",
    ],
    cures: &[
        "Set the application's base URL to bearerd's address (http://localhost:8080) instead of setting HTTPS_PROXY.",
        "Remove bearerd from HTTP_PROXY and HTTPS_PROXY of the application's environment.",
    ],
    shows: "The caller gets 405 with this code; nothing is sent to the upstream. \
        bearerd_refused_total{reason=\"C004\"} counts it.",
};

pub(super) const BAD_REQUEST: Page = Page {
    meaning: "The request is not valid HTTP, or can be read in more than one way: no Host or two, Content-Length \
        twice or together with Transfer-Encoding, a chunk that is longer than its size, a header line that begins with \
        a space, a path that different readers resolve to different routes, or that leads out of the path of the route's \
        upstream. Guessing would let requests be smuggled past rules, so it is refused and the connection closed.",
    causes: &[
        "The client is written by hand and frames its requests wrongly.",
        "The client speaks TLS (https://) to a listener of plain http.",
        "The path has dot segments, encoded slashes or backslashes, and there is more than one route.",
        "The path has more .. than names before them, plain or encoded, and the route's upstream has a path of its own.",
        "A scanner or an attack.",
    ],
    cures: &[
        "Read the detail of the answer: it names what is wrong.",
        "Correct the client; curl -v with the same URL shows how a right request looks.",
        "Use paths without .., // and %2F where several routes share a listener, or give the route a listener of its \
            own.",
    ],
    shows: "The caller gets 400 as application/problem+json with this code; nothing more is sent to the upstream. \
        bearerd_refused_total{reason=\"C005\"} counts it.",
};

pub(super) const NOT_ALLOWED: Page = Page {
    meaning: "The rules in [callers] do not allow this caller. Whoever may call bearerd may act at the upstream, so \
        nobody else may.",
    causes: &[
        "The caller's address is in none of the ranges of callers.from.",
        "The caller's certificate has none of the names in callers.client_names.",
        "The caller's user is none of callers.uids and callers.gids.",
        "bearerd runs in a user namespace (PrivateUsers=yes of its unit, as shipped; rootless containers): every user outside of it looks \
            like 65534, and whoever allowed that number would allow everybody.",
        "A load balancer or a container network changes the address that bearerd sees.",
        "Somebody tries who should not.",
    ],
    cures: &[
        "Look at the answer: it names the address or the name that bearerd saw.",
        "Add its range: [callers] from = [\"loopback\", \"10.42.0.0/16\"].",
        "Run bearerd outside of user namespaces where callers are told by uids or gids: systemctl edit bearerd, then [Service] \
            PrivateUsers=no, then systemctl restart bearerd.",
        "Move the caller onto the same host or into the same pod, and listen on localhost only.",
    ],
    shows: "The caller gets 403 as application/problem+json with this code; nothing more is sent to the upstream. \
        bearerd_refused_total{reason=\"C006\"} counts it.",
};

pub(super) const BODY_TIMEOUT: Page = Page {
    meaning: "The caller began to send a body and then sent nothing for timeouts.request_body_idle (30 s unless \
        changed), while it was still wanted and the upstream had not begun to answer. The connection is closed.",
    causes: &[
        "The caller hangs, or was suspended, in the middle of an upload.",
        "The caller announced a longer body (Content-Length) than it sends.",
        "The caller produces the body slowly, piece by piece, with long pauses.",
        "The caller sends Expect: 100-continue over HTTP/2 and waits for the 100 without end: there it is never sent.",
    ],
    cures: &[
        "Check that the client sends as many bytes as its Content-Length says.",
        "Send the body without being asked for it over HTTP/2, as most clients do after a second.",
        "Raise the time for callers that pause: [timeouts] request_body_idle = \"5m\", or \"off\" for no limit.",
    ],
    shows: "The caller gets 408 as application/problem+json with this code; nothing more is sent to the upstream. \
        bearerd_refused_total{reason=\"C007\"} counts it.",
};

pub(super) const EXPECTATION: Page = Page {
    meaning: "The request has an Expect field that is not 100-continue. There is no other expectation in HTTP (RFC \
        9110 section 10.1.1), so nobody could meet it. HTTP/1.0 has not even that: from there it is ignored.",
    causes: &["The client sets Expect to something of its own.", "A scanner or an attack."],
    cures: &["Remove the Expect field from the client's requests, or send Expect: 100-continue."],
    shows: "The caller gets 417 with this code; nothing is sent to the upstream. \
        bearerd_refused_total{reason=\"C008\"} counts it.",
};

pub(super) const DRAINING: Page = Page {
    meaning: "bearerd has been told to stop (SIGTERM or SIGINT). It finishes what is in flight within timeouts.drain \
        (25 s unless changed) and takes nothing new.",
    causes: &[
        "The service or the pod is being stopped, restarted or rolled out.",
        "The application goes on calling after its sidecar was told to stop.",
    ],
    cures: &[
        "Send the request again; Retry-After says when, and another instance or the restarted one takes it.",
        "Run bearerd as a native sidecar in Kubernetes (an init container with restartPolicy: Always), which stops \
            after the application.",
        "Set [timeouts] drain_delay = \"5s\" where load balancers need a moment to learn that readiness is false.",
    ],
    shows: "The caller gets 503 with this code and Retry-After. /readyz is 503 with draining true from the signal on.",
};

pub(super) const GONE: Page = Page {
    meaning: "The caller closed its connection before its request was answered. A token request that it was waiting \
        for goes on for the others; nobody is left to answer.",
    causes: &[
        "The caller's own timeout is shorter than the upstream's answer takes, or than refresh.wait while there is no \
            token.",
        "The caller was stopped, or a person pressed Ctrl-C.",
    ],
    cures: &[
        "Raise the client's timeout above what bearerd_upstream_duration_seconds shows.",
        "Shorten wait in [credentials.NAME.refresh] if the client would rather have a 503 early.",
        "Nothing to do if it happens now and then.",
    ],
    shows: "Nobody gets an answer; the access log has C010 instead of a status. It may be found in \
        bearerd_refused_total{reason=\"C010\"}.",
};

pub(super) const HEAD_TIMEOUT: Page = Page {
    meaning: "The caller sent the beginning of a request and not the end of its head within timeouts.request_head (10 s \
        unless changed, counted from the first byte). The connection is closed, so that nobody can hold many of them \
        open with half requests. One that has sent nothing is closed after timeouts.keep_alive without an answer.",
    causes: &[
        "The caller hangs, or was suspended, while it wrote its request.",
        "The client forgets the empty line after its headers.",
        "Somebody holds connections open on purpose (slowloris).",
    ],
    cures: &[
        "Check that the client ends its headers with an empty line and flushes what it has written.",
        "Raise the time for callers behind very slow lines: [timeouts] request_head = \"30s\".",
    ],
    shows: "The caller gets 408 as application/problem+json with this code; nothing is sent to the upstream. \
        bearerd_refused_total{reason=\"C011\"} counts it.",
};

pub(super) const ANSWER_UNREAD: Page = Page {
    meaning: "The caller took nothing of its answer for timeouts.response_unread (60 s unless changed), though there was \
        more for it. Its connection is closed in the middle of the answer, and the upstream's with it, so that nobody can \
        hold many of them with answers that are never read. Over HTTP/2 the stream of that answer alone is reset, as soon \
        as less than 16 KiB of it was taken in that time, and the others of the connection go on. A caller that reads slowly, and streams on which nothing \
        happens, are never closed for this; nor are WebSockets and other upgrades.",
    causes: &[
        "The caller hangs, was suspended, or is stopped in a debugger while it reads a large answer.",
        "The application reads only the beginning of an answer and keeps the connection.",
        "Somebody holds answers open on purpose.",
    ],
    cures: &[
        "Make the application read its answers to the end, or close the connection.",
        "Raise the time where callers pause longer than that on purpose: [timeouts] response_unread = \"10m\", or \"off\".",
    ],
    shows: "The caller finds its answer cut off. bearerd_refused_total{reason=\"C018\"} counts it; the upstream's status \
        stays in bearerd_requests_total.",
};

pub(super) const HEAD_TOO_LARGE: Page = Page {
    meaning: "The request line and the headers are longer than limits.head (32 KiB unless changed), or there are more \
        than 100 headers; trailers have the same limits. The connection is closed.",
    causes: &[
        "The application collects cookies without end.",
        "The application puts into a URL or a header what belongs into a body.",
        "A scanner or an attack.",
    ],
    cures: &[
        "Look at what the client sends: curl -v shows the headers of a request like it.",
        "Raise the limit where such heads are meant: [limits] head = \"64KiB\". The upstream has a limit too, often 8 KiB \
            a line.",
    ],
    shows: "The caller gets 431 as application/problem+json with this code; nothing is sent to the upstream. \
        bearerd_refused_total{reason=\"C012\"} counts it.",
};

pub(super) const TOO_MANY_REQUESTS: Page = Page {
    meaning: "limits.requests_in_flight requests were being served, and none of them ended while this one waited for \
        limits.queue. A request is in flight from its head to the last byte of its answer; streams and long polls \
        count for as long as they are open.",
    causes: &[
        "The upstream has become slow, so that requests pile up.",
        "The application has more long polls or streams open than the limit allows.",
        "A burst of calls that is larger than the limit.",
    ],
    cures: &[
        "Look at bearerd_upstream_duration_seconds: a slow upstream is the usual cause, and more requests make it slower.",
        "Raise the limit where the number is meant: [limits] requests_in_flight = 20000.",
        "Raise the time to wait for bursts: [limits] queue = \"5s\".",
    ],
    shows: "The caller gets 503 with this code and Retry-After; nothing is sent to the upstream. \
        bearerd_refused_total{reason=\"C013\"} counts it; bearerd_requests_in_flight shows how many there are.",
};

pub(super) const TOO_MANY_CONNECTIONS: Page = Page {
    meaning: "limits.connections of callers were open, so that this one was answered and closed before its request was \
        read. Those that are open go on.",
    causes: &[
        "The application opens a connection for each call and never closes them.",
        "A connection pool of the application is larger than the limit.",
        "Somebody opens connections on purpose.",
    ],
    cures: &[
        "Look at bearerd_connections, and make the application use its connections again (keep-alive).",
        "Raise the limit where the number is meant: [limits] connections = 50000. The limit of open files must be larger \
            by the connections to upstreams.",
        "Shorten [timeouts] keep_alive, after which idle connections are closed.",
    ],
    shows: "The caller gets 503 with this code and Retry-After, or finds the connection closed if there are very many; \
        nothing is sent to the upstream. bearerd_refused_total{reason=\"C014\"} counts it.",
};

pub(super) const TLS: Page = Page {
    meaning: "A connection came in on a listener that speaks TLS ([tls] in the configuration), but caller and bearerd did not \
        come to terms: no request was read. The log line says what was wrong, at most one line in ten seconds, each at \
        level debug.",
    causes: &[
        "The application calls http:// where it must call https://.",
        "The caller does not trust the authority that signed bearerd's certificate, or calls it by another name than the \
            certificate carries.",
        "[tls] client_ca is set, and the caller shows no certificate, an expired one, or one of another authority.",
        "The caller knows only TLS 1.0 or 1.1, which are refused.",
    ],
    cures: &[
        "Try it from where the application runs: curl -v --cacert ca.pem https://localhost:8080/, with --cert and --key \
            where client_ca is set.",
        "Add the authority of bearerd's certificate to those that the caller trusts (--cacert, SSL_CERT_FILE, a trust \
            store).",
        "Use a certificate of an authority in [tls] client_ca for the caller.",
        "Add the name that the caller uses to the subject alternative names of bearerd's certificate.",
    ],
    shows: "The caller sees its connection end, mostly with a TLS alert; one that speaks plain HTTP gets 400 with this \
        code. bearerd_refused_total{reason=\"C015\"} counts it.",
};

pub(super) const KEY: Page = Page {
    meaning: "A shared key is required (callers.key), and the request does not carry it, carries another, or carries more \
        than one. The key tells the application from other programs that can reach the same address.",
    causes: &[
        "The application does not send the header (x-bearerd-key unless callers.key_header says otherwise).",
        "The key's file has changed, and the application still sends the old key.",
        "The application reads its key with a newline at the end.",
        "Somebody tries who does not know the key.",
    ],
    cures: &[
        "Send the content of the key's file, without its last newline, in that header with every request.",
        "Look for the log line that the shared key has changed, and give the application the new one.",
        "Replace the key by uids = [\"billing\"] in [callers] if the application cannot send a header.",
    ],
    shows: "The caller gets 403 as application/problem+json with this code; nothing is sent to the upstream. The key never \
        reaches the upstream or the log. bearerd_refused_total{reason=\"C016\"} counts it.",
};

pub(super) const PROTOCOL: Page = Page {
    meaning: "A caller over HTTP/2 asked by extended CONNECT (RFC 8441) for a protocol that its route does not change to. Only \
        what upgrades names is passed on, \"websocket\" if nothing is written.",
    causes: &[
        "The route says upgrades = [], or names other protocols.",
        "The caller asks for a tunnel of another kind, such as connect-udp.",
    ],
    cures: &[
        "Add the protocol that the message names to upgrades in [routes.NAME], if the upstream is to be asked for it.",
    ],
    shows: "The caller gets 501 as application/problem+json with this code; nothing is sent to the upstream. \
        bearerd_refused_total{reason=\"C017\"} counts it.",
};
