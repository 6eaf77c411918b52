"""The report: results.md for people, results.json for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .machine import Machine
from .measure import Measured
from .proxies import ALL
from .wanted import Verdict

INTRODUCTION = """# What bearerd costs

Made by `bench/run`. Every figure is the median over the rounds of its case. In each round every contender has one turn, one
after the other, and another one begins each time, so that what disturbs the machine disturbs all of them. Generator, proxy
and upstream share the same cores. CPU is that of all threads of the proxy's processes (`schedstat`, nanoseconds; user and system
split by `stat`), never that of generator or upstream. System calls are counted in a run of their own under strace. nginx'
resident memory counts pages that its processes share once for each.

Generators: wrk for HTTP/1.1 and h2load for HTTP/2 in closed loops, `bench/paced.rs` in open loops, curl for single large bodies.
In closed loops latency counts from the sending of each request, so it says little about a proxy that stalls. In open loops it
counts from the time at which the request was planned to be sent, and all contenders get the same rate; one that cannot keep up
with it has a queue for a latency.
"—" is what a contender cannot do; the reason stands below the table.
"""


@dataclass(frozen=True)
class Column:
    """How a figure is shown."""

    title: str
    form: str


COLUMNS = {
    "per_second": Column("requests/s", ",.0f"),
    "offered": Column("offered/s", ",.0f"),
    "cpu": Column("CPU µs/request", ".1f"),
    "user": Column("user", ".1f"),
    "system": Column("system", ".1f"),
    "p50": Column("p50 µs", ",.0f"),
    "p99": Column("p99 µs", ",.0f"),
    "p999": Column("p99.9 µs", ",.0f"),
    "failed": Column("not 2xx %", ".2f"),
    "io": Column("I/O calls/request", ".2f"),
    "calls": Column("all calls/request", ".2f"),
    "resident": Column("RSS MiB", ".1f"),
    "peak": Column("peak MiB", ".1f"),
    "mib_per_second": Column("MiB/s", ",.0f"),
    "mib_per_cpu_second": Column("MiB/CPU s", ",.0f"),
    "renewals": Column("renewals/s", ".2f"),
    "listening": Column("listening ms", ".1f"),
    "first": Column("first request ms", ".1f"),
    "rest": Column("RSS at rest MiB", ".1f"),
    "idle_cpu": Column("CPU at rest ms/s", ".2f"),
    "idle": Column("connections", ",.0f"),
    "per_connection": Column("bytes/connection", ",.0f"),
}


def write(directory: Path, machine: Machine, results: list[Measured], verdicts: list[Verdict], plots: list[str]) -> None:
    """Writes both files."""
    (directory / "results.json").write_text(json.dumps(as_json(machine, results, verdicts), indent=1, ensure_ascii=False) + "\n")
    (directory / "results.md").write_text(markdown(machine, results, verdicts, plots))


def as_json(machine: Machine, results: list[Measured], verdicts: list[Verdict]) -> dict[str, object]:
    """Everything that was measured, round by round."""
    cases = {
        result.case.name: {
            "title": result.case.title,
            "rounds": result.rounds,
            "system_calls": {label: calls.by_name for label, calls in result.calls.items()},
            "missing": result.missing,
            "broken": result.broken,
        }
        for result in results
    }
    return {"machine": asdict(machine), "cases": cases, "wanted": [asdict(verdict) for verdict in verdicts]}


def markdown(machine: Machine, results: list[Measured], verdicts: list[Verdict], plots: list[str]) -> str:
    """The report as a person reads it."""
    parts = [INTRODUCTION, machine.markdown(), verdict_table(verdicts)]
    if plots:
        parts.append("## Curves\n\n" + "\n".join(f"![{name}]({name})" for name in plots) + "\n")
    parts.append("## Cases\n")
    parts += [case_table(result) for result in results]
    parts.append(settings())
    return "\n".join(parts)


def case_table(result: Measured) -> str:
    """One case: a row for each contender, a column for each figure that anyone has."""
    labels = [contender.label for contender in result.case.contenders]
    cells = {label: {name: shown(result, label, name) for name in result.case.columns} for label in labels}
    names = [name for name in result.case.columns if any(cells[label][name] != "—" for label in labels)]
    rounds = max((len(figures) for figures in result.rounds.values()), default=0)
    lines = [f"### {result.case.title} (`{result.case.name}`)", "", f"{rounds} round{'' if rounds == 1 else 's'}.", ""]
    lines.append("| | " + " | ".join(COLUMNS[name].title for name in names) + " |")
    lines.append("|---|" + "--:|" * len(names))
    lines += [f"| {label} | " + " | ".join(cells[label][name] for name in names) + " |" for label in labels]
    lines += ["", *(f"{label}: cannot do {reason}.  " for label, reason in result.missing.items())]
    lines += [f"**{label} failed**: {reason}.  " for label, reason in result.broken.items()]
    return "\n".join(lines) + "\n"


def shown(result: Measured, label: str, figure: str) -> str:
    """A cell."""
    if figure in ("io", "calls"):
        counted = result.calls.get(label)
        value = None if counted is None else counted.io if figure == "io" else counted.all
    else:
        value = result.median(label, figure)
    return "—" if value is None else format(value, COLUMNS[figure].form)


def verdict_table(verdicts: list[Verdict]) -> str:
    """What was wanted and what it came to."""
    lines = ["## Wanted figures", "", "Where two contenders are compared, the ratio is that of each round, and the median over these.", ""]
    lines += ["| what | wanted | measured | rounds from–to | verdict |", "|---|--:|--:|--:|---|"]
    for verdict in verdicts:
        lines.append(f"| {verdict.what} | {verdict.wanted} | {verdict.measured} | {verdict.spread} | {verdict.verdict} |")
    return "\n".join(lines) + "\n"


def settings() -> str:
    """What was set beside defaults, for each proxy, and why."""
    lines = ["## Settings", ""]
    for proxy in ALL.values():
        lines += [f"**{proxy.name}**", "", "| set | because |", "|---|---|"]
        lines += [f"| {what} | {why} |" for what, why in proxy.settings]
        lines.append("")
    lines.append("Their configurations stand in `bench/proxies/`, the upstream's in `bench/upstreams.py`.")
    return "\n".join(lines) + "\n"
