"""The load generators: wrk, h2load, `paced` and curl, and what each says of the requests it made."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .servers import BenchError

HERE = Path(__file__).parent
PACED = HERE.parent / "target" / "bench" / "paced"
THREADS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Outcome:
    """What the caller saw. Latencies in microseconds; `failed` are answers other than 2xx and broken connections."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float
    p999: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def wrk(url: str, connections: int, seconds: float, upload: int = 0) -> Outcome:
    """HTTP/1.1, each connection asks again as soon as it is answered. Latency counts from the sending of a request."""
    # wrk knows whole seconds only.
    command = ["wrk", "-t", str(min(THREADS, connections)), "-c", str(connections), "-d", f"{max(round(seconds), 1)}s"]
    command += ["--timeout", "20s", "-s", str(HERE / "wrk.lua"), url]
    said = run(command, {"UPLOAD_BYTES": str(upload)})
    line = next((line for line in said.splitlines() if line.startswith('{"requests"')), None)
    if line is None:
        raise BenchError(f"wrk printed no figures:\n{said}")
    return Outcome(**json.loads(line))


def h2load(url: str, connections: int, streams: int, seconds: float) -> Outcome:
    """HTTP/2 (by prior knowledge without TLS), `streams` requests at a time on each connection."""
    command = ["h2load", "-t", str(min(THREADS, connections)), "-c", str(connections), "-m", str(streams)]
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory, "log")
        said = run([*command, "-D", str(max(round(seconds), 1)), f"--log-file={log}", url])
        # Start in microseconds, status, time to the answer's end in microseconds.
        latencies = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return h2load_outcome(said, latencies)


def h2load_outcome(said: str, latencies: list[int]) -> Outcome:
    """Reads what h2load prints; `latencies` are sorted."""
    finished = re.search(r"finished in ([\d.]+)(m?s)", said)
    counts = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", said)
    if not finished or not counts or not latencies:
        raise BenchError(f"h2load printed no figures:\n{said}")
    seconds = float(finished[1]) / (1000 if finished[2] == "ms" else 1)
    done, succeeded = int(counts[1]), int(counts[2])
    return Outcome(done, seconds, done - succeeded, *(percentile(latencies, share) for share in (0.5, 0.99, 0.999)))


def percentile(ordered: list[int], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return float(ordered[max(math.ceil(share * len(ordered)), 1) - 1])


def paced(port: int, path: str, connections: int, rate: float, seconds: float) -> Outcome:
    """HTTP/1.1 at a fixed rate, whatever the answers take. Latency counts from when a request was planned to be sent."""
    return Outcome(**json.loads(run(_paced_command(port, path, connections, rate, seconds))))


@contextmanager
def trickle(port: int, path: str, connections: int, rate: float, seconds: float) -> Iterator[None]:
    """The same in the background, from when all connections are open until the block ends."""
    command = _paced_command(port, path, connections, rate, seconds)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as generator:
        assert generator.stderr
        try:
            said = generator.stderr.readline()
            if said != "connected\n":
                raise BenchError(f"paced did not open {connections} connections: {said}{generator.stderr.read()}")
            yield
            if generator.poll() is not None:
                raise BenchError(f"paced ended early: {generator.stderr.read()}")
        finally:
            generator.terminate()


def _paced_command(port: int, path: str, connections: int, rate: float, seconds: float) -> list[str]:
    return [str(PACED), f"127.0.0.1:{port}", path, str(connections), f"{rate:.3f}", f"{seconds:.3f}"]


def curl_status(url: str, ca: Path, h2: bool) -> str:
    """Asks once; the status as text, "000" without an answer."""
    version = ["--http2-prior-knowledge"] if h2 else ["--http1.1"]
    shown = ["-w", "%{http_code}", "-o", "/dev/null"]
    command = ["curl", "-qsS", "--noproxy", "*", "--max-time", "5", "--cacert", str(ca), *version, *shown, url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def curl_download(url: str, ca: Path) -> float:
    """Gets a body and throws it away; the seconds it took."""
    return _curl(["-o", "/dev/null", url], ca)


def curl_upload(url: str, file: Path, ca: Path) -> float:
    """Sends a file; the seconds until the answer."""
    return _curl(["-o", "/dev/null", "-H", "Expect:", "-T", str(file), url], ca)


def _curl(arguments: list[str], ca: Path) -> float:
    # A .curlrc of whoever runs this is none of the benchmark's business: -q.
    said = run(["curl", "-qsSf", "--noproxy", "*", "--cacert", str(ca), "-w", "%{time_total}", *arguments])
    return float(said)


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Runs a program to its end and gives back what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | (environment or {}), check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
