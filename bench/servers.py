"""Programs that serve while something is measured: a free port, the start, all their processes, the end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 10.0
# Below the range that the kernel takes for outgoing connections: ten thousand of those must not take a listener's port.
PORTS = range(18_000, 32_000)


class BenchError(Exception):
    """Something that the person who runs this can cure; the message says how."""


@dataclass(frozen=True)
class Launch:
    """How to start a program, and the port at which it shows that it serves."""

    command: list[str]
    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BenchError("no free port found on 127.0.0.1")


def listens(port: int) -> bool:
    """Whether a connection to this port of 127.0.0.1 is accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A running program with all its processes."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BEARERD_")}
        with launch.log.open("ab") as log:
            self.started_at = time.perf_counter()
            # A group of its own, so that the end reaches every process of it and nobody else.
            self.process = subprocess.Popen(
                launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment | launch.environment,
                start_new_session=True,
            )

    def wait(self, every: float = 0.005) -> float:
        """Waits until it listens; the seconds since it was started."""
        while not listens(self.launch.port):
            if self.process.poll() is not None:
                raise BenchError(f"{self._name()} ended at once:\n{self._log_tail()}")
            if time.perf_counter() - self.started_at > START_SECONDS:
                self.stop()
                raise BenchError(f"{self._name()} does not listen after {START_SECONDS:.0f} s:\n{self._log_tail()}")
            time.sleep(every)
        return time.perf_counter() - self.started_at

    def check(self) -> None:
        """Fails if it has ended by itself."""
        status = self.process.poll()
        if status is not None:
            raise BenchError(f"{self._name()} ended by itself with {status}:\n{self._log_tail()}")

    def pids(self) -> list[int]:
        """Its process and everything that this started."""
        return list(descendants(self.process.pid))

    def stop(self) -> None:
        """Ends it gently, and then whatever is left of its group."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _name(self) -> str:
        return Path(self.launch.command[0]).name

    def _log_tail(self) -> str:
        return "\n".join(self.launch.log.read_text(errors="replace").splitlines()[-15:])


def descendants(pid: int) -> Iterator[int]:
    """A process and all below it that are alive."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from descendants(int(child))
