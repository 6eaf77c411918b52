"""The upstreams and the token endpoint: one nginx for nearly all of it, and a Node program that revokes tokens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .load import run
from .servers import Launch, Server, free_port
from .world import PROTOCOLS, Certificates, Protocol, World, is_h2, is_tls

HERE = Path(__file__).parent
SMALL = 100
MIDDLE = 64 << 10
LARGE = 1 << 30
SHORT_LIFE_SECONDS = 2

NGINX = """
# As many workers as cores, no log, connections that are never closed: the upstream must not be what is measured.
worker_processes {workers};
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  sendfile on;
  default_type text/plain;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  http2_max_concurrent_streams 1000;
  open_file_cache max=10 inactive=600s;
  client_max_body_size 0;
  client_body_temp_path {memory};
  proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  log_format token $uri;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  ssl_session_cache shared:s:4m;
  # The same cipher with every proxy.
  ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  # Exactly every tenth request of each connection.
  map $connection_requests $rejected {{ default 0; ~0$ 1; }}
  upstream nothing {{ server unix:{directory}/nothing.sock; keepalive 512; keepalive_requests 1000000000; }}
  server {{ listen unix:{directory}/nothing.sock; location / {{ return 200 "received\\n"; }} }}
  server {{
{listeners}
    root {directory}/files;
    location = /small {{ return 200 "{small}"; }}
    # The whole body is read (in memory, large ones into a file in memory) before it answers.
    location = /sink {{
      client_body_buffer_size 128k;
      proxy_pass http://nothing; proxy_http_version 1.1; proxy_pass_request_body off;
      proxy_set_header Connection ""; proxy_set_header Content-Length "";
    }}
    location = /tenth {{
      if ($rejected) {{ add_header WWW-Authenticate 'Bearer error="invalid_token"' always; return 401 "rejected\\n"; }}
      return 200 "{small}";
    }}
  }}
  server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
  server {{
    listen 127.0.0.1:{token};
    default_type application/json;
    # The path says whose token it is, so that the log tells how often each asked.
    location /long/ {{ return 200 '{{"access_token":"$request_id","token_type":"Bearer","expires_in":3600}}'; }}
    location /short/ {{
      access_log {directory}/tokens.log token;
      return 200 '{{"access_token":"$request_id","token_type":"Bearer","expires_in":{short}}}';
    }}
  }}
}}
"""


@contextmanager
def world(directory: Path, binaries: dict[str, str]) -> Iterator[World]:
    """Starts everything that proxies need around them, and stops it at the end."""
    certificates = make_certificates(directory)
    here = World(
        directory=directory,
        certificates=certificates,
        upstream={protocol: free_port() for protocol in PROTOCOLS},
        token=free_port(),
        revoking=free_port(),
        status=free_port(),
        binaries=binaries,
    )
    memory = Path("/dev/shm") / f"bearerd-bench-{os.getpid()}"
    servers: list[Server] = []
    try:
        for launch in (_nginx(here, memory), _revoking(here)):
            servers.append(Server(launch))
            servers[-1].wait()
        yield here
    finally:
        for server in servers:
            server.stop()
        subprocess.run(["rm", "-rf", "--", memory], check=False)


def _nginx(here: World, memory: Path) -> Launch:
    directory, certificates = here.directory, here.certificates
    files = directory / "files"
    files.mkdir()
    # World-readable all the way: nginx' workers are another user when root starts it.
    (files / "middle").write_bytes(os.urandom(MIDDLE))
    with (files / "large").open("wb") as large:  # a hole: no bytes on the disk
        large.truncate(LARGE)
    cores = len(os.sched_getaffinity(0))
    configuration = NGINX.format(
        workers=cores,
        connections=16_384,
        directory=directory,
        memory=memory,
        certificate=certificates.certificate,
        key=certificates.key,
        listeners="\n".join(_listener(protocol, port) for protocol, port in here.upstream.items()),
        small="x" * (SMALL - 1) + "\\n",
        status=here.status,
        token=here.token,
        short=SHORT_LIFE_SECONDS,
    )
    path = directory / "upstream.conf"
    path.write_text(configuration)
    return Launch(["nginx", "-c", str(path), "-p", str(directory)], here.upstream["http1"], directory / "upstream.log")


def _listener(protocol: Protocol, port: int) -> str:
    # `reuseport`: else one worker may take nearly all connections.
    return f"    listen 127.0.0.1:{port} reuseport{' ssl' if is_tls(protocol) else ''}{' http2' if is_h2(protocol) else ''};"


def _revoking(here: World) -> Launch:
    command = ["node", str(HERE / "revoking.mjs"), str(here.revoking), "x" * (SMALL - 1)]
    return Launch(command, here.revoking, here.directory / "revoking.log")


def make_certificates(directory: Path) -> Certificates:
    """An authority and a certificate for 127.0.0.1 and localhost, both P-256, by openssl."""
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    certificate, key, both = (directory / name for name in ("server.pem", "server.key", "server-both.pem"))
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    run([*new, "-subj", "/CN=bench authority", "-keyout", str(ca_key), "-out", str(ca)])
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    leaf = ["-addext", names, "-addext", "basicConstraints=critical,CA:FALSE", "-CA", str(ca), "-CAkey", str(ca_key)]
    run([*new, "-subj", "/CN=localhost", *leaf, "-keyout", str(key), "-out", str(certificate)])
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    return Certificates(ca, certificate, key, both)


def renewals(here: World, label: str) -> int:
    """How often the contender of this label has asked for a token that lives for seconds."""
    log = here.directory / "tokens.log"
    return sum(line.strip() == f"/short/{label}" for line in log.open()) if log.exists() else 0
