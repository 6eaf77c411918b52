"""One turn of one contender: a load over some seconds, and what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Interface

from . import load
from .contenders import Running
from .cost import Cpu, cpu, memory
from .load import Outcome
from .upstreams import LARGE, renewals
from .world import is_h2

# The name of a figure and its value; `report.COLUMNS` says what each name means.
Figures = dict[str, float]
WARM_UP_SECONDS = 1.0
MIB = 1 << 20


@dataclass(frozen=True)
class Pace:
    """How long a turn lasts and how much it asks for."""

    seconds: float
    # Requests per second of open-loop turns.
    rate: float = 0.0
    idle_connections: int = 10_000


class Turn(Interface):
    """What is done with each contender in each round."""

    def figures(self, running: Running, pace: Pace) -> Figures:
        """Loads it and measures."""

    def requests(self, running: Running) -> int | None:
        """The same load, short and without measuring, for strace: how many requests it made. None: there is no such run."""


@dataclass(frozen=True)
class Closed:
    """As many requests as can be answered: each connection, or stream, asks again when it is answered."""

    connections: int
    path: str = "/small"
    upload: int = 0
    # Requests at a time on each connection, of callers that speak HTTP/2.
    streams: int = 1

    def figures(self, running: Running, pace: Pace) -> Figures:
        """Throughput, latency, CPU per request, memory."""
        self._run(running, WARM_UP_SECONDS)
        renewed = renewals(running.world, running.contender.slug)
        outcome, used = timed(running, lambda: self._run(running, pace.seconds))
        figures = per_request(outcome, used) | memory_figures(running)
        if running.contender.setup.renewing:
            figures["renewals"] = (renewals(running.world, running.contender.slug) - renewed) / outcome.seconds
        return figures

    def requests(self, running: Running) -> int:
        """A second of it."""
        return self._run(running, 1.0).requests

    def _run(self, running: Running, seconds: float) -> Outcome:
        url = running.url(self.path)
        if is_h2(running.contender.setup.caller):
            return load.h2load(url, self.connections, self.streams, seconds)
        return load.wrk(url, self.connections, seconds, self.upload)


@dataclass(frozen=True)
class Paced:
    """Half of what saturates: latency as callers see it who do not wait for each other."""

    connections: int
    path: str = "/small"

    def figures(self, running: Running, pace: Pace) -> Figures:
        """Latency from the planned time, CPU per request."""
        self._run(running, pace.rate, WARM_UP_SECONDS)
        renewed = renewals(running.world, running.contender.slug)
        outcome, used = timed(running, lambda: self._run(running, pace.rate, pace.seconds))
        figures = per_request(outcome, used) | {"offered": pace.rate}
        if running.contender.setup.renewing:
            figures["renewals"] = (renewals(running.world, running.contender.slug) - renewed) / outcome.seconds
        return figures

    def requests(self, running: Running) -> None:
        """Not traced: the closed cases are."""

    def _run(self, running: Running, rate: float, seconds: float) -> Outcome:
        return load.paced(running.port, running.path(self.path), self.connections, rate, seconds)


@dataclass(frozen=True)
class Transfer:
    """One large body by curl."""

    upload: bool

    def figures(self, running: Running, pace: Pace) -> Figures:
        """Bytes per second and per CPU second."""
        before = cpu(running.pids())
        ca = running.world.certificates.ca
        if self.upload:
            seconds = load.curl_upload(running.url("/sink"), running.world.directory / "files" / "large", ca)
        else:
            seconds = load.curl_download(running.url("/large"), ca)
        used = cpu(running.pids()).since(before)
        figures = {"mib_per_second": LARGE / MIB / seconds}
        if used.total > 0:
            figures["mib_per_cpu_second"] = LARGE / MIB / used.total
        return figures | memory_figures(running)

    def requests(self, running: Running) -> None:
        """Not traced: a request is no measure here."""


def timed(running: Running, work: Callable[[], Outcome]) -> tuple[Outcome, Cpu | None]:
    """Does the work; what the proxy used meanwhile, None without a proxy."""
    before = cpu(running.pids())
    outcome = work()
    return outcome, cpu(running.pids()).since(before) if running.server else None


def per_request(outcome: Outcome, used: Cpu | None) -> Figures:
    """The figures that every load has."""
    requests = max(outcome.requests, 1)
    figures = {
        "per_second": outcome.per_second,
        "p50": outcome.p50,
        "p99": outcome.p99,
        "p999": outcome.p999,
        "failed": 100.0 * outcome.failed / requests,
    }
    if used:
        figures |= {
            "cpu": used.total * 1e6 / requests,
            "user": used.user * 1e6 / requests,
            "system": used.system * 1e6 / requests,
        }
    return figures


def memory_figures(running: Running) -> Figures:
    """Resident memory, now and at most."""
    if not running.server:
        return {}
    now = memory(running.pids())
    return {"resident": now.resident / MIB, "peak": now.peak / MIB}
