"""The command line of bench/run, after that has installed what is needed."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from . import machine, plots, report, wanted
from .cases import Case, comparisons
from .growth import growth
from .measure import Measured, measure
from .proxies import ALL
from .servers import BenchError
from .turns import Pace
from .upstreams import world

HERE = Path(__file__).parent
RESULTS = HERE / "results"
BUILT = HERE.parent / "target" / "release" / "bearerd"
ENVOY = "envoy/_bin/envoy"
NEEDED_FILES = 20_000


def main() -> int:
    """0 if all was measured, 1 if something failed on the way, 2 if the command line is wrong."""
    options = arguments()
    if options.list:
        for case in everything():
            print(f"{case.name:20} {case.title}")
        return 0
    chosen = choose(options.case, options.proxy)
    files = raise_limits()
    binary = options.binary or build()
    binaries = {"bearerd": str(binary.resolve()), "envoy": str(find_envoy())}
    seen = machine.look("bench/run " + " ".join(sys.argv[1:]), binaries, options.binary is None, files)
    # Below /tmp and not below target/: nginx' workers are another user, who must be able to read it.
    with tempfile.TemporaryDirectory(prefix="bearerd-bench-") as directory:
        Path(directory).chmod(0o755)
        with world(Path(directory), binaries) as here:
            results: list[Measured] = []
            for case in chosen:
                print(f"== {case.name}: {case.title}", file=sys.stderr, flush=True)
                results.append(measure(case, here, options.pace, options.rounds))
                # After every case, so that a run which is ended early leaves what it has.
                finish(options.results, seen, results)
    print(report.verdict_table(wanted.judge(results)))
    print(f"{options.results / 'results.md'}")
    return 1 if any(result.broken for result in results) else 0


def everything() -> list[Case]:
    """All cases, in the order in which they run."""
    return [*comparisons(), *growth()]


def finish(directory: Path, seen: machine.Machine, results: list[Measured]) -> None:
    """Writes everything."""
    directory.mkdir(parents=True, exist_ok=True)
    report.write(directory, seen, results, wanted.judge(results), plots.draw(directory, results))


def arguments() -> argparse.Namespace:
    """Reads the command line; `pace` and `rounds` are what it comes to."""
    parser = argparse.ArgumentParser(prog="bench/run", description=sys.modules["bench"].__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of one second: whether it works, not what it costs")
    parser.add_argument("--case", nargs="+", metavar="NAME", help="only these cases; --list names them")
    parser.add_argument("--proxy", nargs="+", metavar="NAME", choices=ALL, help=f"only these: {', '.join(ALL)}")
    parser.add_argument("--rounds", type=positive, metavar="N", help="turns of each contender (default 5)")
    parser.add_argument("--seconds", type=positive, metavar="S", help="length of a turn, whole seconds (default 5)")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--binary", type=existing, metavar="FILE", help="this bearerd instead of building one")
    parser.add_argument("--results", type=Path, metavar="DIRECTORY", default=RESULTS, help="default bench/results")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    pace = Pace(seconds=options.seconds or (1 if options.quick else 5))
    options.pace = replace(pace, idle_connections=2_000) if options.quick else pace
    return options


def existing(text: str) -> Path:
    """A file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def choose(names: list[str] | None, proxies: list[str] | None) -> list[Case]:
    """The cases asked for, with the contenders asked for."""
    known = {case.name: case for case in everything()}
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise BenchError(f"there is no case {unknown[0]}; bench/run --list names them")
    chosen = [known[name] for name in names or known]
    if proxies is None:
        return chosen
    kept = [replace(case, contenders=tuple(one for one in case.contenders if one.proxy in proxies)) for case in chosen]
    return [case for case in kept if case.contenders]


def build() -> Path:
    """The release build of this repository."""
    if subprocess.run(["cargo", "build", "--release", "--locked"], check=False).returncode != 0:
        raise BenchError("bearerd could not be built; --binary FILE measures another one")
    return BUILT


def raise_limits() -> int:
    """As many open files as allowed; every program that is started inherits this."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < NEEDED_FILES:
        raise BenchError(f"only {hard} files may be open, {NEEDED_FILES} are needed: ulimit -Hn, as root")
    return hard


def find_envoy() -> Path:
    """The binary in the wheel itself: its script is a Python program that would be counted."""
    for directory in map(Path, sys.path):
        if (directory / ENVOY).exists():
            return directory / ENVOY
    raise BenchError("Envoy is not installed in this Python; start this by bench/run")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench/run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
