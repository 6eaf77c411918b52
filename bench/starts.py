"""How long a start takes, and what a proxy costs that has nothing to do."""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass

from .contenders import Running
from .cost import cpu, memory
from .servers import START_SECONDS, BenchError
from .turns import MIB, Figures, Pace

LOOK_EVERY_SECONDS = 0.0002
REST_SECONDS = 2.0


@dataclass(frozen=True)
class Start:
    """A start, one request as early as possible, then rest. The contender was started just before."""

    def figures(self, running: Running, pace: Pace) -> Figures:
        """Milliseconds from before the process was made; memory and CPU time at rest, after that one request."""
        if not running.server:
            raise BenchError("there is no proxy to start")
        listening = running.server.wait(LOOK_EVERY_SECONDS)
        first = self._first_answer(running)
        time.sleep(REST_SECONDS)
        resident = memory(running.pids()).resident
        before = cpu(running.pids())
        time.sleep(pace.seconds)
        idle = cpu(running.pids()).since(before).total / pace.seconds
        return {"listening": listening * 1e3, "first": first * 1e3, "rest": resident / MIB, "idle_cpu": idle * 1e3}

    def requests(self, running: Running) -> None:
        """Not traced: nothing happens."""

    def _first_answer(self, running: Running) -> float:
        """Seconds until a request was answered by the upstream."""
        assert running.server
        while True:
            elapsed = time.perf_counter() - running.server.started_at
            if elapsed > START_SECONDS:
                raise BenchError(f"{running.contender.label} forwards nothing after {START_SECONDS:.0f} s")
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=START_SECONDS)
            try:
                connection.request("GET", running.path("/small"))
                status = connection.getresponse().status
            except OSError:
                status = 0
            finally:
                connection.close()
            if status == 200:
                return time.perf_counter() - running.server.started_at
            time.sleep(LOOK_EVERY_SECONDS)
