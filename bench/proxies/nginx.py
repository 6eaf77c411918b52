"""nginx with a token that never changes."""

from __future__ import annotations

from ..servers import Launch
from ..world import Setup, is_h2, is_tls
from .proxy import STATIC_TOKEN, Place, lacks_what_is_bearerds

CONFIGURATION = """
worker_processes {workers};
daemon off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 12000; }}
http {{
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_buffers 16 32k;
  proxy_busy_buffers_size 256k;
  proxy_max_temp_file_size 0;
  upstream api {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport{caller};
    {certificate}
    location / {{
      proxy_pass {scheme}://api;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {token}";
      {verify}
    }}
  }}
}}
"""


class Nginx:
    """The yardstick for CPU and throughput: C, no token handling."""

    name = "nginx"
    settings: tuple[tuple[str, str], ...] = (
        ("a static Authorization", "it cannot fetch tokens; so it does less than bearerd"),
        ("worker_processes = cores", "as for every proxy"),
        ("listen … reuseport", "spreads connections over both workers; without it one often serves most of them"),
        ("worker_connections 12000", "for ten thousand idle connections; it costs memory at rest"),
        ("access_log off", "no proxy here writes one"),
        ('keepalive 512, proxy_http_version 1.1, Connection ""', "connections to the upstream are kept, as the others do by default"),
        ("keepalive_requests 10⁹, keepalive_timeout 600s", "no caller's connection is closed during a measurement"),
        ("proxy_request_buffering off", "uploads stream, as everywhere else"),
        ("proxy_buffers 16 32k, proxy_max_temp_file_size 0", "large answers pass in large pieces and never through a file"),
    )

    def lacks(self, setup: Setup) -> str | None:
        """HTTP/2 towards the upstream, and everything about tokens."""
        if is_h2(setup.upstream):
            return "HTTP/2 towards the upstream"
        return "renewal" if setup.renewing else lacks_what_is_bearerds(setup)

    def launch(self, setup: Setup, place: Place) -> Launch:
        """A master and its workers."""
        certificates = place.world.certificates
        shown = f"ssl_certificate {certificates.certificate}; ssl_certificate_key {certificates.key};"
        checks = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {certificates.ca}; proxy_ssl_name localhost; "
        checks += "proxy_ssl_protocols TLSv1.2 TLSv1.3;"
        text = CONFIGURATION.format(
            workers=setup.workers,
            directory=place.directory,
            upstream=place.world.upstream_port(setup),
            port=place.port,
            caller=(" ssl" if is_tls(setup.caller) else "") + (" http2" if is_h2(setup.caller) else ""),
            certificate=shown if is_tls(setup.caller) else "",
            scheme="https" if is_tls(setup.upstream) else "http",
            token=STATIC_TOKEN,
            verify=checks if is_tls(setup.upstream) else "",
        )
        path = place.write("nginx.conf", text)
        return Launch(["nginx", "-c", str(path), "-p", str(place.directory)], place.port, place.directory / "nginx.log")
