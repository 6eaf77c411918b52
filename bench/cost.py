"""What processes use: CPU time to the nanosecond, its split, and memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU seconds since the start. `total` is exact; `user` and `system` are counted in ticks and give its split."""

    total: float
    user: float
    system: float

    def since(self, earlier: Cpu) -> Cpu:
        """What was used in between, `user` and `system` brought to the exact total."""
        total = self.total - earlier.total
        user, system = self.user - earlier.user, self.system - earlier.system
        ticks = user + system
        share = user / ticks if ticks > 0 else 0.0
        return Cpu(total, total * share, total * (1 - share) if ticks > 0 else 0.0)


def cpu(pids: Iterable[int]) -> Cpu:
    """The CPU time of all threads of these processes."""
    total = user = system = 0.0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0]) / 1e9
            except OSError:  # the thread ended meanwhile
                continue
        try:
            # The name in parentheses may hold spaces: what is counted stands behind it.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11]) * TICK
        system += int(fields[12]) * TICK
    return Cpu(total, user, system)


@dataclass(frozen=True)
class Memory:
    """Bytes of resident memory, now and at most so far. Pages that processes share are counted in each."""

    resident: int
    peak: int


def memory(pids: Iterable[int]) -> Memory:
    """The sum over these processes."""
    resident = peak = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        values = {name: value for name, _, value in (line.partition(":") for line in lines)}
        if "VmRSS" not in values:  # it has ended and only its status is left
            continue
        resident += int(values["VmRSS"].split()[0]) * 1024
        peak += int(values["VmHWM"].split()[0]) * 1024
    return Memory(resident, peak)
