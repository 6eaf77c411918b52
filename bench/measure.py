"""A case from start to end: its contenders in turns, in an order that rotates, then each once under strace."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from . import load
from .cases import Case
from .contenders import Contender, Running
from .servers import BenchError
from .syscalls import Calls, calls_per_request
from .turns import Figures, Pace
from .world import World

CALIBRATIONS = 3


@dataclass
class Measured:
    """What a case gave: for each label the figures of each round."""

    case: Case
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    calls: dict[str, Calls] = field(default_factory=dict)
    # Who did not take part and why; `broken` are those who should have.
    missing: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def median(self, label: str, figure: str) -> float | None:
        """Over the rounds."""
        values = [figures[figure] for figures in self.rounds.get(label, []) if figure in figures]
        return statistics.median(values) if values else None


def measure(case: Case, world: World, pace: Pace, rounds: int) -> Measured:
    """Runs a case. A contender that fails leaves it, and the others go on."""
    result = Measured(case)
    rounds *= case.rounds_times
    contenders = []
    for contender in case.contenders:
        reason = contender.lacks()
        if reason:
            result.missing[contender.label] = reason
        else:
            contenders.append(contender)
    if case.fresh:
        for number in range(min(rounds, case.rounds_at_most or rounds)):
            for contender in rotated(contenders, number):
                with told(result, contender), up(contender, case, world) as running:
                    note(case, number, contender)
                    figures = case.turn.figures(running, pace)
                    running.check()
                    result.rounds.setdefault(contender.label, []).append(figures)
        return result
    _all_up(case, world, pace, rounds, contenders, result)
    return result


def _all_up(case: Case, world: World, pace: Pace, rounds: int, contenders: list[Contender], result: Measured) -> None:
    """All contenders stay up for the whole case: while it is not its turn a proxy waits, which costs next to nothing."""
    running: dict[str, Running] = {}
    try:
        for contender in contenders:
            with told(result, contender):
                running[contender.label] = start(contender, case, world)
        if case.half_of:
            pace = replace(pace, rate=calibrated(case.half_of, running))
        for number in range(rounds):
            for contender in rotated(contenders, number):
                if contender.label in result.broken:
                    continue
                note(case, number, contender)
                with told(result, contender):
                    figures = case.turn.figures(running[contender.label], pace)
                    running[contender.label].check()
                    result.rounds.setdefault(contender.label, []).append(figures)
        for label, one in running.items():
            if one.server and label not in result.broken:
                with told(result, one.contender):
                    _trace(case, one, result)
    finally:
        for one in running.values():
            one.stop()


def _trace(case: Case, running: Running, result: Measured) -> None:
    def requests() -> int:
        return case.turn.requests(running) or 0

    if case.traced:
        counted = calls_per_request(running.pids(), requests)
        if counted:
            result.calls[running.contender.label] = counted


def calibrated(label: str, running: dict[str, Running]) -> float:
    """Half of what saturates the yardstick, or the first contender if that does not take part."""
    if not running:
        raise BenchError("no contender of this case is up")
    yardstick = running.get(label) or next(iter(running.values()))
    url = yardstick.url("/small")
    return statistics.median(load.wrk(url, 64, 2).per_second for _ in range(CALIBRATIONS)) / 2


def start(contender: Contender, case: Case, world: World) -> Running:
    """Starts it and waits until it forwards."""
    running = Running(contender, world, world.directory / f"{case.name}-{contender.slug}")
    try:
        running.wait()
    except BenchError:
        running.stop()
        raise
    return running


@contextmanager
def up(contender: Contender, case: Case, world: World) -> Iterator[Running]:
    """A contender that ends with its turn. Waiting for it is the turn's business."""
    running = Running(contender, world, world.directory / f"{case.name}-{contender.slug}")
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def told(result: Measured, contender: Contender) -> Iterator[None]:
    """Keeps a failure of one contender from ending the run, and says it."""
    try:
        yield
    except (BenchError, OSError) as error:
        result.broken[contender.label] = " ".join(str(error).split())[:300]
        print(f"!! {result.case.name}, {contender.label}: {error}", file=sys.stderr, flush=True)


def rotated(contenders: list[Contender], by: int) -> list[Contender]:
    """Another one begins in each round."""
    first = by % len(contenders) if contenders else 0
    return contenders[first:] + contenders[:first]


def note(case: Case, number: int, contender: Contender) -> None:
    """Tells who is waiting how far it is."""
    print(f"   {case.name}, round {number + 1}: {contender.label}", file=sys.stderr, flush=True)
