#!/usr/bin/env python3
"""Compares Cargo.lock with the dated list of advisories beside this file.

Exit code 0: nothing affected; 1: something is, or the lock file names a source other than crates.io.
Python 3.11 or newer, nothing else.
"""

import datetime
import pathlib
import re
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
STALE_AFTER = datetime.timedelta(days=90)
COMPARE = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}


def version(text):
    """A key that orders as versions do: numbers first, then "is it a release", then the pre-release parts."""
    core, _, pre = text.partition("+")[0].partition("-")
    numbers = [int(part) for part in core.split(".")]
    numbers += [0] * (3 - len(numbers))
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else []
    return (numbers, not pre, parts)


def matches(text, found):
    """Whether version `found` lies in a range such as ">=0.3.24, <0.4.0"."""
    for condition in text.split(","):
        parsed = re.fullmatch(r"\s*(<=|>=|<|>|=)\s*([0-9][^\s]*)\s*", condition)
        if parsed is None:
            raise ValueError(f"not a version range: {condition!r}")
        if not COMPARE[parsed[1]](version(found), version(parsed[2])):
            return False
    return True


def is_affected(advisory, found):
    """Whether that version of the advisory's crate is affected."""
    safe = advisory["patched"] + advisory.get("unaffected", [])
    return not any(matches(text, found) for text in safe)


def problems(packages, advisories):
    """One line for everything that is wrong with the packages of a lock file."""
    lines = []
    for package in packages:
        source = package.get("source")
        if source is not None and "rust-lang/crates.io-index" not in source:
            lines.append(f"{package['name']} {package['version']}: source is {source}, not crates.io")
        for advisory in advisories:
            if advisory["crate"] == package["name"] and is_affected(advisory, package["version"]):
                fixed = " or ".join(advisory["patched"]) or "no version"
                lines.append(
                    f"{package['name']} {package['version']}: {advisory['id']}: {advisory['note']}; fixed in {fixed}"
                )
    return lines


def newest_list(folder):
    """The newest dated list and its date."""
    lists = sorted(folder.glob("advisories-*.toml"))
    if not lists:
        raise SystemExit(f"no advisories-YYYY-MM-DD.toml in {folder}")
    return lists[-1], datetime.date.fromisoformat(lists[-1].stem.removeprefix("advisories-"))


def main():
    path, date = newest_list(HERE)
    advisories = tomllib.loads(path.read_text())["advisory"]
    packages = tomllib.loads((HERE.parent / "Cargo.lock").read_text())["package"]
    lines = problems(packages, advisories)
    for line in lines:
        print(line, file=sys.stderr)
    crates = {advisory["crate"] for advisory in advisories}
    concerned = sum(package["name"] in crates for package in packages)
    print(
        f"{len(packages)} locked packages, {concerned} of them with entries among the {len(advisories)} advisories"
        f" known on {date}: {len(lines)} problem(s)"
    )
    if datetime.date.today() - date > STALE_AFTER:
        print(f"warning: the list of {date} is older than {STALE_AFTER.days} days; renew it", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
