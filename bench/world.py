"""Where a benchmark happens: a directory for its files, and the upstreams and token endpoint that all proxies share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# HTTP/1.1 or HTTP/2, without TLS or with it: of the side towards callers and of the side towards the upstream.
Protocol = Literal["http1", "h2", "tls", "tls-h2"]
PROTOCOLS: tuple[Protocol, ...] = ("http1", "h2", "tls", "tls-h2")


def is_tls(protocol: Protocol) -> bool:
    """Whether it is encrypted."""
    return protocol.startswith("tls")


def is_h2(protocol: Protocol) -> bool:
    """Whether it is HTTP/2."""
    return protocol.endswith("h2")


@dataclass(frozen=True)
class Setup:
    """What a case wants of a proxy."""

    workers: int
    caller: Protocol = "http1"
    upstream: Protocol = "http1"
    # Tokens of two seconds instead of an hour.
    renewing: bool = False
    # The upstream that revokes tokens, with the token endpoint that knows of it.
    revoking: bool = False
    # Only bearerd has these.
    routes: int = 1
    credentials: int = 1


@dataclass(frozen=True)
class Certificates:
    """A made-up authority and one certificate of it, for 127.0.0.1 and localhost."""

    ca: Path
    certificate: Path
    key: Path
    both: Path


@dataclass(frozen=True)
class World:
    """What all contenders of a run share."""

    directory: Path
    certificates: Certificates
    upstream: dict[Protocol, int]
    token: int
    revoking: int
    status: int
    # Programs that are no part of a proxy but of the world around it.
    binaries: dict[str, str] = field(default_factory=dict)

    def upstream_port(self, setup: Setup) -> int:
        """Where the requests of this setup go."""
        return self.revoking if setup.revoking else self.upstream[setup.upstream]

    def token_port(self, setup: Setup) -> int:
        """Where its tokens come from."""
        return self.revoking if setup.revoking else self.token
