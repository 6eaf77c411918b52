"""System calls per request: strace counts them in a short run of its own, because it slows down what it watches."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ATTACH_SECONDS = 10.0
# Those that move bytes. Waiting (epoll_wait) and everything else are in `all` only.
IO = frozenset(
    "read write readv writev pread64 pwrite64 recv recvfrom recvmsg recvmmsg send sendto sendmsg sendmmsg sendfile splice".split()
)
ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


@dataclass(frozen=True)
class Calls:
    """System calls per request."""

    io: float
    all: float
    by_name: dict[str, float]


def calls_per_request(pids: Iterable[int], load: Callable[[], int]) -> Calls | None:
    """Runs `load`, which says how many requests it made, while strace is attached. None where strace may not."""
    if shutil.which("strace") is None:
        return None
    attach = [argument for pid in pids for argument in ("-p", str(pid))]
    with tempfile.TemporaryDirectory() as directory:
        table, said = Path(directory, "table"), Path(directory, "said")
        with said.open("wb") as errors:
            strace = subprocess.Popen(["strace", "-c", "-f", "-o", table, *attach], stderr=errors)
        try:
            if not _attached(strace, said, len(attach) // 2):
                return None
            requests = load()
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
        return per_request(table.read_text(), requests)


def _attached(strace: subprocess.Popen[bytes], said: Path, processes: int) -> bool:
    """Waits until strace says that it is attached to each process; false if it may not."""
    deadline = time.monotonic() + ATTACH_SECONDS
    while time.monotonic() < deadline and strace.poll() is None:
        if len(re.findall(r"Process \d+ attached", said.read_text())) >= processes:
            return True
        time.sleep(0.02)
    return False


def per_request(table: str, requests: int) -> Calls:
    """Reads the table that `strace -c` prints."""
    rows = (ROW.match(line) for line in table.splitlines())
    counted = {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}
    by_name = {name: count / max(requests, 1) for name, count in counted.items()}
    return Calls(sum(count for name, count in by_name.items() if name in IO), sum(by_name.values()), by_name)
