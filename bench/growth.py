"""How bearerd's cost grows: with routes, with credentials, with connections, with workers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.request import ProxyHandler, build_opener

from . import load
from .cases import CORES, Case
from .contenders import Contender, Running
from .cost import cpu
from .proxies.bearerd import route_path
from .servers import BenchError
from .starts import Start
from .turns import Closed, Figures, Pace, Turn, memory_figures
from .world import Setup, World

ROUTES = (1, 10, 100, 1_000, 10_000)
CREDENTIALS = (1, 10, 100, 1_000)
CONNECTIONS = (1, 10, 100, 1_000, 10_000)
# The same for any number of connections, and little enough for one.
TRICKLE_PER_SECOND = 1_000
SETTLE_SECONDS = 0.5
SPARE_SECONDS = 2.0
LOADED = ("cpu", "per_second", "p99", "resident")
TRICKLED = ("per_second", "cpu", "resident")
STARTED = ("listening", "first", "rest", "idle_cpu")


def growth() -> list[Case]:
    """The cases whose figures are curves."""
    routes = tuple(_many(count, "route", Setup(CORES, routes=count), _route_asked(count)) for count in ROUTES)
    credentials = tuple(_many(count, "credential", Setup(CORES, credentials=count)) for count in CREDENTIALS)
    connections = tuple(_many(count, "connection", Setup(CORES)) for count in CONNECTIONS)
    workers = tuple(_many(count, "worker", Setup(count)) for count in range(1, CORES + 1))
    return [
        curve("routes", "bearerd with many routes, the last but one asked for, 64 connections", routes, Closed(64), LOADED),
        curve("routes-start", "bearerd with many routes: start and rest", routes, Start(), STARTED),
        curve("credentials", "bearerd with many credentials: start and rest", credentials, Start(), STARTED),
        curve("connections", f"bearerd at {TRICKLE_PER_SECOND:,} requests/s over many connections", connections, Trickle(), TRICKLED),
        curve("workers", "bearerd with one worker to one for each core, 64 connections", workers, Closed(64), LOADED),
    ]


def curve(name: str, title: str, contenders: tuple[Contender, ...], turn: Turn, columns: tuple[str, ...]) -> Case:
    """A case whose contenders differ in a number. Those under full load stay up, the others are started for each turn."""
    fresh = not isinstance(turn, Closed)
    axis = name.removesuffix("-start")
    return Case(name, title, contenders, turn, columns, fresh=fresh, rounds_at_most=3 if fresh else None, axis=axis)


def _many(count: int, what: str, setup: Setup, path: str | None = None) -> Contender:
    return Contender(f"{count:,} {what}{'' if count == 1 else 's'}", "bearerd", setup, path, x=count)


def _route_asked(count: int) -> str | None:
    return None if count == 1 else f"{route_path(count - 2)}/small"


@dataclass(frozen=True)
class Trickle:
    """The same rate over as many connections as the contender's place on the axis says."""

    def figures(self, running: Running, pace: Pace) -> Figures:
        """CPU per request while all connections are up, and memory."""
        if not running.server:
            raise BenchError("there is no proxy to hold connections")
        running.wait()
        connections = running.contender.x or 1
        # Long enough for every connection to be used.
        seconds = max(pace.seconds, connections / TRICKLE_PER_SECOND)
        length = SETTLE_SECONDS + seconds + SPARE_SECONDS
        with load.trickle(running.port, "/small", connections, TRICKLE_PER_SECOND, length):
            time.sleep(SETTLE_SECONDS)
            asked, before = upstream_requests(running.world), cpu(running.pids())
            time.sleep(seconds)
            used, requests = cpu(running.pids()).since(before), upstream_requests(running.world) - asked
            figures = memory_figures(running)
        # The second look at the upstream's counter is a request too.
        return {"cpu": used.total * 1e6 / (requests - 1), "per_second": (requests - 1) / seconds} | figures

    def requests(self, running: Running) -> None:
        """Not traced: the closed cases are."""


def upstream_requests(world: World) -> int:
    """How many requests the upstream has had, by its stub_status: the third number of its third line."""
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{world.status}/") as answer:
        return int(answer.read().splitlines()[2].split()[2])
