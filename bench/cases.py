"""The table of cases: what is asked of whom."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from .contenders import Contender
from .idle import Idle
from .proxies import ALL
from .starts import Start
from .turns import Closed, Paced, Transfer, Turn
from .upstreams import MIDDLE
from .world import PROTOCOLS, Protocol, Setup

CORES = len(os.sched_getaffinity(0))
# So many times the usual rounds, where contenders hardly differ.
CLOSE = 3

LOADED = ("cpu", "user", "system", "per_second", "p50", "p99", "p999", "io", "calls", "resident", "peak", "failed")
PACED = ("offered", "per_second", "p50", "p99", "p999", "cpu", "failed")
SPOKEN: dict[Protocol, str] = {"http1": "HTTP/1.1", "h2": "HTTP/2", "tls": "HTTP/1.1 over TLS", "tls-h2": "HTTP/2 over TLS"}
MOVED = ("mib_per_cpu_second", "mib_per_second", "resident", "peak")


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    title: str
    contenders: tuple[Contender, ...]
    turn: Turn
    columns: tuple[str, ...]
    # Contenders are started anew for each turn.
    fresh: bool = False
    # Where a figure hardly varies, so many rounds are enough.
    rounds_at_most: int | None = None
    # Where a wanted figure compares contenders that hardly differ, so many times the usual rounds.
    rounds_times: int = 1
    # The label whose saturating load, halved, is the rate of this case.
    half_of: str | None = None
    # Whether system calls are counted.
    traced: bool = False
    # What `x` of the contenders counts, where the case shows growth.
    axis: str | None = None


def everybody(caller: Protocol = "http1", upstream: Protocol = "http1") -> tuple[Contender, ...]:
    """All proxies in one setup, each under its own name."""
    return tuple(Contender(name, name, Setup(CORES, caller, upstream)) for name in ALL)


def proxies(caller: Protocol = "http1") -> tuple[Contender, ...]:
    """The same without "direct", where something is measured that only a proxy has."""
    return tuple(contender for contender in everybody(caller) if contender.proxy != "direct")


def closed(name: str, title: str, turn: Closed, caller: Protocol = "http1", upstream: Protocol = "http1") -> Case:
    """A saturating load on everybody."""
    return Case(name, title, everybody(caller, upstream), turn, LOADED, traced=True)


def idle(caller: Protocol) -> Case:
    """Connections that rest."""
    title = f"idle connections of callers that speak {SPOKEN[caller]}, after one request each"
    columns = ("idle", "per_connection", "resident")
    return Case(f"idle-{caller}", title, proxies(caller), Idle(), columns, fresh=True, rounds_at_most=2)


def comparisons() -> list[Case]:
    """The cases in which proxies compete."""
    usual = Setup(CORES)
    streams = Closed(8, streams=8)
    renewing = Setup(CORES, renewing=True)
    revoking = Setup(CORES, revoking=True)
    return [
        *(
            replace(
                closed(f"small-{count}", f"100 B answers, {count} connection{'s' if count > 1 else ''}", Closed(count)),
                rounds_times=CLOSE if count == 64 else 1,
            )
            for count in (1, 8, 64, 512)
        ),
        Case(
            "half-load",
            "100 B answers at half of what saturates nginx, 64 connections, open loop",
            everybody(),
            Paced(64),
            PACED,
            half_of="nginx",
            rounds_times=CLOSE,
        ),
        closed("middle-64", "64 KiB answers, 64 connections", Closed(64, "/middle")),
        closed("upload-64", "64 KiB uploads, 64 connections", Closed(64, "/sink", upload=MIDDLE)),
        Case("download-1g", "one download of 1 GiB", everybody(), Transfer(upload=False), MOVED),
        Case("upload-1g", "one upload of 1 GiB", everybody(), Transfer(upload=True), MOVED),
        closed("tls-64", "100 B answers, TLS to the upstream, 64 connections", Closed(64), upstream="tls"),
        closed("tls-middle-64", "64 KiB answers, TLS to the upstream, 64 connections", Closed(64, "/middle"), upstream="tls"),
        closed("h2-caller", "100 B answers, callers speak HTTP/2: 8 connections of 8 streams", streams, caller="h2"),
        closed("h2-upstream", "100 B answers, HTTP/2 to the upstream, 64 connections", Closed(64), upstream="h2"),
        closed("h2-both", "100 B answers, HTTP/2 on both sides: 8 connections of 8 streams", streams, caller="h2", upstream="h2"),
        closed("h2-tls-upstream", "100 B answers, HTTP/2 over TLS to the upstream, 64 connections", Closed(64), upstream="tls-h2"),
        Case(
            "renewal",
            "a renewal every second, at half of what saturates bearerd, 64 connections, open loop",
            tuple(
                Contender(name + suffix, name, setup)
                for name in ("bearerd", "envoy")
                for suffix, setup in (("", usual), (", renewing", renewing))
            ),
            Paced(64),
            ("renewals", *PACED),
            half_of="bearerd",
            rounds_times=CLOSE,
        ),
        Case(
            "tenth-rejected",
            "every tenth request answered 401 whatever the token, 64 connections",
            everybody(),
            Closed(64, "/tenth"),
            LOADED,
        ),
        Case(
            "revoked",
            "the token revoked after every 20,000 requests, 64 connections, an upstream on Node",
            (
                Contender("bearerd, never revoked", "bearerd", revoking, path="/steady"),
                Contender("bearerd", "bearerd", revoking),
                Contender("envoy", "envoy", revoking),
            ),
            Closed(64, "/revoking"),
            LOADED,
        ),
        Case(
            "start",
            "from the start to listening and to the first proxied answer; then rest",
            proxies(),
            Start(),
            ("listening", "first", "rest", "idle_cpu"),
            fresh=True,
        ),
        *(idle(caller) for caller in PROTOCOLS),
    ]
