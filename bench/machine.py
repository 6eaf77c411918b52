"""The machine and every program that takes part, so that figures can be judged and measured again."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .cases import CORES

# How each program says its version, and what of that is the version.
VERSIONS = {
    "nginx": (["nginx", "-v"], r"nginx/(\S+)"),
    "haproxy": (["haproxy", "-v"], r"version (\S+)"),
    "envoy": (["{envoy}", "--version"], r"/(\d[\d.]+)/"),
    "bearerd": (["{bearerd}", "--version"], r"(\d\S+)"),
    "wrk": (["wrk", "-v"], r"wrk (\S+)"),
    "h2load": (["h2load", "--version"], r"nghttp2/(\S+)"),
    "curl": (["curl", "--version"], r"curl (\S+)"),
    "node": (["node", "--version"], r"v(\S+)"),
    "openssl": (["openssl", "version"], r"OpenSSL (\S+)"),
    "strace": (["strace", "--version"], r"version (\S+)"),
    "rustc": (["rustc", "--version"], r"rustc (\S+)"),
}


@dataclass(frozen=True)
class Machine:
    """Where and with what was measured."""

    when: str
    command: str
    commit: str
    # Which bearerd: `--binary` may name one that is not of this commit.
    binary: str
    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    system: str
    open_files: int
    # Of the whole machine, one minute, before anything was started: above 0.3 others were at work.
    load_before: float
    versions: dict[str, str]

    def markdown(self) -> str:
        """A table."""
        rows = [
            ("when", self.when),
            ("command", f"`{self.command}`"),
            ("commit", self.commit),
            ("bearerd", self.binary),
            ("CPU", f"{self.cpu}, {self.cores} cores used"),
            ("memory", f"{self.memory_mib:,} MiB"),
            ("system", f"{self.system}, Linux {self.kernel}, {self.open_files:,} open files"),
            ("load before", f"{self.load_before:.2f}"),
            ("programs", ", ".join(f"{name} {version}" for name, version in self.versions.items())),
        ]
        lines = ["## Machine", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
        return "\n".join(lines) + "\n"


def look(command: str, binaries: dict[str, str], built: bool, open_files: int) -> Machine:
    """Asks the kernel and each program."""
    return Machine(
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        command=command,
        commit=_commit(),
        binary=f"{'built from it' if built else 'given by --binary'}, SHA-256 {_sha256(binaries['bearerd'])}",
        cpu=_field("/proc/cpuinfo", "model name"),
        cores=CORES,
        memory_mib=int(_field("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        kernel=platform.release(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        open_files=open_files,
        load_before=os.getloadavg()[0],
        versions=dict(_versions(binaries)),
    )


def _versions(binaries: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, (command, pattern) in VERSIONS.items():
        filled = [part.format(**binaries) for part in command]
        try:
            # Some print it to standard error, and wrk ends with 1 after it.
            done = subprocess.run(filled, capture_output=True, text=True, check=False)
        except OSError:
            yield name, "missing"
            continue
        found = re.search(pattern, done.stdout + done.stderr)
        yield name, found[1] if found else "unknown"


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _sha256(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
