"""HAProxy with a token that never changes."""

from __future__ import annotations

from ..servers import Launch
from ..world import Protocol, Setup, is_h2, is_tls
from .proxy import STATIC_TOKEN, Place, lacks_what_is_bearerds

CONFIGURATION = """
global
  nbthread {workers}
  maxconn 15000
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend callers
  bind 127.0.0.1:{port}{bind}
  http-request set-header authorization "Bearer {token}"
  default_backend api
backend api
  server one 127.0.0.1:{upstream}{server}
"""


class HAProxy:
    """C, threads, no token handling."""

    name = "haproxy"
    settings: tuple[tuple[str, str], ...] = (
        ("a static authorization", "it cannot fetch tokens; so it does less than bearerd"),
        ("nbthread = cores", "as for every proxy"),
        ("no log", "no proxy here writes one"),
        ("http-reuse always", "connections to the upstream are shared by callers, as the others do"),
        ("maxconn 15000, no strict-limits", "for ten thousand idle connections; without the second it wants twice as many open files"),
        ("timeouts of 600 s", "no caller's connection is closed during a measurement"),
        ("no option splice-auto", "its default; kernel splicing would spare it copies of large bodies without TLS"),
    )

    def lacks(self, setup: Setup) -> str | None:
        """Everything about tokens."""
        return "renewal" if setup.renewing else lacks_what_is_bearerds(setup)

    def launch(self, setup: Setup, place: Place) -> Launch:
        """In the foreground, without a master process."""
        text = CONFIGURATION.format(
            workers=setup.workers,
            port=place.port,
            bind=self._bind(setup.caller, place),
            token=STATIC_TOKEN,
            upstream=place.world.upstream_port(setup),
            server=self._server(setup.upstream, place),
        )
        path = place.write("haproxy.cfg", text)
        return Launch(["haproxy", "-db", "-f", str(path)], place.port, place.directory / "haproxy.log")

    def _bind(self, caller: Protocol, place: Place) -> str:
        if is_tls(caller):
            return f" ssl crt {place.world.certificates.both} alpn {'h2' if is_h2(caller) else 'http/1.1'}"
        return " proto h2" if is_h2(caller) else ""

    def _server(self, upstream: Protocol, place: Place) -> str:
        if is_tls(upstream):
            ca = place.world.certificates.ca
            return f" ssl verify required ca-file {ca} verifyhost localhost alpn {'h2' if is_h2(upstream) else 'http/1.1'}"
        return " proto h2" if is_h2(upstream) else ""
