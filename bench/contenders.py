"""A contender of a case: a proxy in a certain setup, and the same while it runs."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from . import load
from .proxies import ALL, Place
from .servers import BenchError, Server, free_port
from .world import Setup, World, is_h2, is_tls

FORWARDS_SECONDS = 15.0


@dataclass(frozen=True)
class Contender:
    """What takes part in a case. `x` is the place on the axis where a case shows growth."""

    label: str
    proxy: str
    setup: Setup
    # Asked for instead of the case's path.
    path: str | None = None
    x: int | None = None

    @property
    def slug(self) -> str:
        """Its label as a part of paths."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower())

    def lacks(self) -> str | None:
        """Why it cannot take part."""
        return ALL[self.proxy].lacks(self.setup)


class Running:
    """A contender that is up."""

    def __init__(self, contender: Contender, world: World, directory: Path) -> None:
        self.contender = contender
        self.world = world
        directory.mkdir(exist_ok=True)
        # nginx' workers are another user when root starts it.
        directory.chmod(0o777)
        place = Place(contender.slug, directory, free_port(), world)
        launch = ALL[contender.proxy].launch(contender.setup, place)
        self.port = place.port if launch else world.upstream_port(contender.setup)
        self.server = Server(launch) if launch else None

    def pids(self) -> list[int]:
        """All its processes; none if there is no proxy."""
        return self.server.pids() if self.server else []

    def path(self, usual: str) -> str:
        """Where its requests go, if the others' go to `usual`."""
        return self.contender.path or usual

    def url(self, usual: str) -> str:
        """The same with scheme, address and port."""
        scheme = "https" if is_tls(self.contender.setup.caller) else "http"
        return f"{scheme}://127.0.0.1:{self.port}{self.path(usual)}"

    def wait(self) -> None:
        """Waits until it forwards: a proxy that only refuses would be the fastest of all."""
        if self.server:
            self.server.wait()
        url, ca, h2 = self.url("/small"), self.world.certificates.ca, is_h2(self.contender.setup.caller)
        deadline = time.monotonic() + FORWARDS_SECONDS
        while (status := load.curl_status(url, ca, h2)) != "200":
            if time.monotonic() > deadline:
                raise BenchError(f"a request through {self.contender.label} got {status} instead of 200")
            time.sleep(0.1)

    def check(self) -> None:
        """Fails if its process has ended."""
        if self.server:
            self.server.check()

    def stop(self) -> None:
        """Ends its processes."""
        if self.server:
            self.server.stop()
