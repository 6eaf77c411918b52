//! `U…`: the forwarded request got no answer.

use super::Page;

const BAD_GATEWAY: &str = "The caller gets 502 as application/problem+json with this code, which stands in \
    Proxy-Status and in HTTP/1's reason phrase too. bearerd_requests_total{origin=\"bearerd\",code=\"502\"} counts it. \
    An upstream's own 502 has none of these.";
const GATEWAY_TIMEOUT: &str = "The caller gets 504 as application/problem+json with this code, which stands in \
    Proxy-Status and in HTTP/1's reason phrase too. bearerd_requests_total{origin=\"bearerd\",code=\"504\"} counts it. \
    An upstream's own 504 has none of these.";

pub(super) const CONNECT: Page = Page {
    meaning: "The upstream's name has addresses, but none of them took the connection. The request was not sent.",
    causes: &[
        "The upstream is down or restarting.",
        "The port in upstream is wrong.",
        "A firewall or a NetworkPolicy refuses the connection.",
    ],
    cures: &[
        "Try it from where bearerd runs: curl -v https://api.example.com/ (any HTTP answer will do).",
        "Correct upstream in [routes.NAME].",
        "Open the way in the firewall or in the NetworkPolicy.",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const NAME: Page = Page {
    meaning: "The host of the upstream has no address, or name service does not answer. The request was not sent. \
        While name service fails, the last addresses that worked go on being used.",
    causes: &[
        "The host in upstream is misspelt.",
        "Name service of the machine, container or cluster is down.",
        "The name exists only in another network or namespace: in Kubernetes, a Service of another namespace needs \
            NAME.NAMESPACE.svc.",
    ],
    cures: &[
        "Check the name from where bearerd runs: getent hosts api.example.com.",
        "Correct the host of upstream in [routes.NAME].",
        "Look at /etc/resolv.conf and, in a cluster, whether egress to port 53 is allowed.",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const TLS: Page = Page {
    meaning: "The connection to the upstream was made, but the other side could not prove who it is, or speaks no TLS \
        that bearerd accepts (1.2 and 1.3). Neither the request nor the token was sent. There is no switch that turns \
        this check off.",
    causes: &[
        "The certificate is signed by a company's own authority that this machine does not know.",
        "The certificate has expired, or is for another name than the host in upstream.",
        "A proxy or firewall breaks TLS open and signs with an authority of its own.",
        "The port does not speak TLS at all.",
        "The upstream wants a client certificate.",
    ],
    cures: &[
        "Look at what the server shows: openssl s_client -connect api.example.com:443 -servername api.example.com \
            </dev/null.",
        "Add the authority that signed it: [routes.NAME.tls] ca = \"corp-ca.pem\".",
        "Set server_name in [routes.NAME.tls] if the certificate is for another name than the one you connect to.",
        "Add the client certificate that it wants: certificate and key in [routes.NAME.tls].",
        "Check this machine's clock with date: a wrong one makes good certificates look expired.",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const CONNECT_TIME: Page = Page {
    meaning: "Looking up the name, connecting and the TLS handshake with the upstream together took longer than \
        timeouts.connect (5 s unless changed). The request was not sent.",
    causes: &[
        "A firewall drops the packets silently instead of refusing the connection.",
        "The upstream is overloaded or a route to it is broken.",
        "Name service answers slowly.",
    ],
    cures: &[
        "Check which step takes so long: curl -so /dev/null -w '%{time_namelookup} %{time_connect} %{time_appconnect}' \
            https://api.example.com/.",
        "Open the way in the firewall if connecting never ends.",
        "Raise the time if the upstream is just far away: [timeouts] connect = \"10s\".",
    ],
    shows: GATEWAY_TIMEOUT,
};

pub(super) const SILENT: Page = Page {
    meaning: "The request was sent, but the upstream did not begin to answer within timeouts.response_head (60 s \
        unless changed). The upstream may have done what was asked, so bearerd does not send the request again.",
    causes: &[
        "The upstream needs longer than that for this request (a report, an export).",
        "The upstream is overloaded or hangs.",
        "A device in between has dropped the connection without a word.",
    ],
    cures: &[
        "Raise the time for slow paths: [timeouts] response_head = \"5m\", or \"off\" for no limit.",
        "Look at bearerd_upstream_duration_seconds on /metrics to see how long answers take as a rule.",
        "Ask the upstream's owner; its own log shows whether the request arrived.",
    ],
    shows: GATEWAY_TIMEOUT,
};

pub(super) const CLOSED: Page = Page {
    meaning: "The upstream closed the connection after the request (or a part of it) was sent and before it answered. \
        bearerd sends the request again only if nothing of it was sent or its method is idempotent, since the upstream \
        may have done what was asked.",
    causes: &[
        "The upstream was restarted or crashed on this request.",
        "The upstream closes idle connections earlier than timeouts.upstream_idle (15 s unless changed).",
        "A load balancer in between ended the connection.",
        "The port expects TLS and the upstream's URL begins with http://.",
    ],
    cures: &[
        "Shorten the idle time below the upstream's own: [timeouts] upstream_idle = \"4s\".",
        "Look into the upstream's log for a crash at this time.",
        "Check the scheme and port of upstream in [routes.NAME].",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const MALFORMED: Page = Page {
    meaning: "The upstream answered with something that is not valid HTTP, or whose head is longer than bearerd \
        accepts (64 KiB or 256 fields). Nothing of it was passed on.",
    causes: &[
        "The port speaks another protocol: TLS, HTTP/2 without HTTP/1.1, SSH, a database.",
        "The upstream, or a gateway in front of it, sends broken or contradictory header fields.",
        "The upstream sends an enormous header, often cookies.",
    ],
    cures: &[
        "Look at the raw answer from where bearerd runs: curl -sv --http1.1 https://api.example.com/path -o /dev/null.",
        "Check the scheme and port of upstream in [routes.NAME].",
        "Ask the upstream's owner to mend the header field that the log line names.",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const LOOP: Page = Page {
    meaning: "The request has passed through this bearerd before: its own mark is in the Via field. Forwarding it \
        again would go on for ever, so it is refused.",
    causes: &[
        "The upstream of a route is bearerd's own address, or a name that leads back to it.",
        "The application is behind a proxy or service mesh that sends the upstream's traffic to bearerd again.",
        "Two bearerds have each other as upstream.",
    ],
    cures: &[
        "Check where each route goes: the lines that bearerd run prints at start, or routes on localhost:9180/status.",
        "Correct upstream in [routes.NAME] to the address of the API itself.",
        "Look at what the upstream's name resolves to here: getent hosts api.example.com.",
    ],
    shows: "The caller gets 508 as application/problem+json with this code, and the log has a line that names the \
        route.",
};

pub(super) const PROXY: Page = Page {
    meaning: "The upstream is to be reached through an HTTP proxy, and the proxy cannot be reached, does not answer as one in \
        time, or could not get further (a 5xx to our CONNECT). The request was not sent. bearerd never goes around a proxy.",
    causes: &[
        "The proxy is down, or its address in proxy, HTTPS_PROXY or HTTP_PROXY is wrong.",
        "The proxy cannot resolve or reach the upstream's host from where it stands.",
        "The port is not that of an HTTP proxy, or the proxy wants TLS (https:// in its URL) or none.",
        "A proxy variable of the environment is used where none was meant.",
    ],
    cures: &[
        "Try it from where bearerd runs: curl -v --proxytunnel --proxy http://proxy:3128 https://api.example.com/.",
        "Correct proxy in [routes.NAME] or the variable in the environment; the line at start names the proxy.",
        "Write proxy = \"none\" in [routes.NAME], or the host into NO_PROXY, if it is to be reached directly.",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const PROXY_REFUSED: Page = Page {
    meaning: "The HTTP proxy on the way to the upstream answered our CONNECT, and does not let us through. The request was not \
        sent. After a 407 the same login is not tried again for 60 s, then 2 min and so on up to an hour, so that no \
        account is locked; a new URL of the proxy in its file is tried at once.",
    causes: &[
        "407: the proxy wants a login and none is configured, or user name or password are wrong.",
        "407: the proxy offers only NTLM, Negotiate or Digest; bearerd speaks Basic.",
        "403 or 405: the proxy's rules do not allow this host or this port.",
    ],
    cures: &[
        "Give the proxy a login: proxy = { file = \"…\" } with http://USER:PASSWORD@HOST:PORT in the file, %-encoded.",
        "Ask the proxy's owner to allow the upstream's host and port for this machine.",
        "Write proxy = \"none\" in [routes.NAME], or the host into NO_PROXY, if it is to be reached directly.",
    ],
    shows: BAD_GATEWAY,
};

pub(super) const NO_UPGRADE: Page = Page {
    meaning: "A caller asked for a WebSocket, or for another protocol of the route's upgrades, and the upstream cannot be asked \
        for it or answered as if to an ordinary request. Over HTTP/2 a server must announce that it changes the protocol of \
        streams (RFC 8441); one that has not is asked over HTTP/1.1, unless upstream_protocol = \"h2\" or the server rules that out.",
    causes: &[
        "upstream_protocol = \"h2\" is written, and the upstream does WebSocket over HTTP/1.1 alone, as most servers do.",
        "The upstream speaks HTTP/2 alone and does not announce SETTINGS_ENABLE_CONNECT_PROTOCOL.",
        "A load balancer or another proxy before the upstream drops the Upgrade field, so that the upstream sees a plain GET.",
        "There is no WebSocket at this path of the upstream.",
    ],
    cures: &[
        "Remove upstream_protocol, or give the path of the WebSocket a route of its own with upstream_protocol = \"http1\".",
        "Use the upstream's own setting for extended CONNECT: allow_connect in Envoy, enableConnectProtocol in Node.",
        "Ask the upstream without bearerd: curl -i --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' URL.",
    ],
    shows: BAD_GATEWAY,
};
