"""The figures that bearerd wants to reach, and whether it does."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .measure import Measured

Results = dict[str, Measured]


@dataclass(frozen=True)
class Verdict:
    """A wanted figure, as text, and what it came to."""

    what: str
    wanted: str
    measured: str
    spread: str
    verdict: str


@dataclass(frozen=True)
class Wanted:
    """A limit, and where its figure comes from: a value of each round."""

    what: str
    limit: float
    at_most: bool
    form: str
    values: Callable[[Results], list[float]]

    def judge(self, results: Results) -> Verdict:
        """Compares the median with the limit."""
        wanted = ("≤ " if self.at_most else "≥ ") + format(self.limit, self.form)
        values = self.values(results)
        if not values:
            return Verdict(self.what, wanted, "—", "—", "not measured")
        median = statistics.median(values)
        reached = median <= self.limit if self.at_most else median >= self.limit
        spread = f"{min(values):{self.form}}–{max(values):{self.form}}" if len(values) > 1 else "—"
        return Verdict(self.what, wanted, format(median, self.form), spread, "reached" if reached else "**missed**")


def judge(results: list[Measured]) -> list[Verdict]:
    """All of them."""
    by_name = {result.case.name: result for result in results}
    return [wanted.judge(by_name) for wanted in WANTED]


def own(case: str, figure: str) -> Callable[[Results], list[float]]:
    """A figure of bearerd itself."""

    def values(results: Results) -> list[float]:
        rounds = results[case].rounds.get("bearerd", []) if case in results else []
        return [figures[figure] for figures in rounds if figure in figures]

    return values


def io_calls(case: str) -> Callable[[Results], list[float]]:
    """bearerd's I/O system calls per request, which are counted once."""

    def values(results: Results) -> list[float]:
        counted = results[case].calls.get("bearerd") if case in results else None
        return [counted.io] if counted else []

    return values


def ratio(case: str, figure: str, other: str, label: str = "bearerd") -> Callable[[Results], list[float]]:
    """A figure of bearerd divided by that of another in the same round."""

    def values(results: Results) -> list[float]:
        if case not in results:
            return []
        rounds = results[case].rounds
        pairs = zip(rounds.get(label, []), rounds.get(other, []), strict=False)
        return [ours[figure] / theirs[figure] for ours, theirs in pairs if figure in ours and theirs.get(figure, 0) > 0]

    return values


WANTED = [
    Wanted("CPU per request, small answers, 64 connections: × nginx", 1.10, True, ".2f", ratio("small-64", "cpu", "nginx")),
    Wanted("… × HAProxy", 1.00, True, ".2f", ratio("small-64", "cpu", "haproxy")),
    Wanted("… × Envoy", 0.45, True, ".2f", ratio("small-64", "cpu", "envoy")),
    Wanted("Throughput, the same case: × nginx", 0.95, False, ".2f", ratio("small-64", "per_second", "nginx")),
    Wanted("… × HAProxy", 1.00, False, ".2f", ratio("small-64", "per_second", "haproxy")),
    Wanted("… × Envoy", 2.20, False, ".2f", ratio("small-64", "per_second", "envoy")),
    Wanted("p99 at half of the saturating load: × nginx", 1.10, True, ".2f", ratio("half-load", "p99", "nginx")),
    Wanted("I/O system calls per request", 4.1, True, ".2f", io_calls("small-64")),
    Wanted("1 GiB download, bytes per CPU second: × HAProxy", 1.00, False, ".2f", ratio("download-1g", "mib_per_cpu_second", "haproxy")),
    Wanted("1 GiB upload, bytes per CPU second: × HAProxy", 1.00, False, ".2f", ratio("upload-1g", "mib_per_cpu_second", "haproxy")),
    Wanted("TLS to the upstream, small answers, CPU per request: × nginx", 1.00, True, ".2f", ratio("tls-64", "cpu", "nginx")),
    Wanted("Memory at rest, MiB", 12.0, True, ".1f", own("start", "rest")),
    Wanted("Memory per idle plaintext HTTP/1 connection, bytes", 6000, True, ",.0f", own("idle-http1", "per_connection")),
    Wanted("p99 with a renewal every second: × without", 1.05, True, ".2f", ratio("renewal", "p99", "bearerd", "bearerd, renewing")),
    Wanted("Start to listening, ms", 20, True, ".1f", own("start", "listening")),
    Wanted("Start to the first proxied answer, ms", 60, True, ".1f", own("start", "first")),
]
