"""The plots: CPU per request side by side, and the curves of growth."""

from __future__ import annotations

from pathlib import Path

import matplotlib

from .measure import Measured
from .proxies import ALL
from .report import COLUMNS

matplotlib.use("svg")
# The same figures give the same file.
matplotlib.rcParams["svg.hashsalt"] = "bearerd"

from matplotlib import pyplot  # noqa: E402 — the backend must be chosen first
from matplotlib.figure import Figure  # noqa: E402

COLOURS = {"bearerd": "#b5452c", "nginx": "#3a7d44", "haproxy": "#3b6ea5", "envoy": "#8a5aa5"}


def draw(directory: Path, results: list[Measured]) -> list[str]:
    """Draws what there is; the names of the files."""
    names = []
    compared = [result for result in results if result.case.traced and result.rounds]
    if compared:
        names.append(_bars(directory, compared))
    names += [_curves(directory, result) for result in results if result.case.axis and result.rounds]
    return names


def _bars(directory: Path, results: list[Measured]) -> str:
    """CPU per request, a group of bars for each case."""
    proxies = [name for name in ALL if name in COLOURS]
    figure, axes = pyplot.subplots(figsize=(9, 0.7 + 0.62 * len(results)))
    height = 0.8 / len(proxies)
    for place, name in enumerate(proxies):
        values = [result.median(name, "cpu") or 0.0 for result in results]
        axes.barh([row + place * height for row in range(len(results))], values, height, label=name, color=COLOURS[name])
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(results))], [result.case.name for result in results])
    axes.invert_yaxis()
    axes.set_xlabel(COLUMNS["cpu"].title)
    axes.legend()
    return _save(figure, directory, "cpu.svg")


def _curves(directory: Path, result: Measured) -> str:
    """Each figure of a case over what grows."""
    shown = [name for name in result.case.columns if any(result.median(one.label, name) is not None for one in result.case.contenders)]
    figure, all_axes = pyplot.subplots(1, len(shown), figsize=(3.6 * len(shown), 3.2), squeeze=False)
    for axes, name in zip(all_axes[0], shown, strict=True):
        points = [(one.x, result.median(one.label, name)) for one in result.case.contenders]
        known = [(x, y) for x, y in points if x is not None and y is not None]
        axes.plot([x for x, _ in known], [y for _, y in known], marker="o", color=COLOURS["bearerd"])
        if max(x for x, _ in known) >= 100:
            axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(result.case.axis)
        axes.set_title(COLUMNS[name].title, fontsize=10)
    figure.suptitle(result.case.title, fontsize=11)
    return _save(figure, directory, f"{result.case.name}.svg")


def _save(figure: Figure, directory: Path, name: str) -> str:
    figure.tight_layout()
    # No date in it, for the same reason.
    figure.savefig(directory / name, metadata={"Date": None})
    pyplot.close(figure)
    return name
