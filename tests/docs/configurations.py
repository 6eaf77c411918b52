"""Configurations in the pages are accepted by `bearerd check`, with nothing but their secrets made up."""

import pathlib
import re
import subprocess
import tempfile
import tomllib

# Of a fragment these are no mistakes: what stands elsewhere is missing, and so are files.
ELSEWHERE = re.compile(r": (F006|F010|F011) |F005 \S+: there is no (credential|user|group)")
# What a binary without the feature otel has against [traces].
NOT_BUILT_IN = re.compile(r" F004 traces: needs a bearerd that was built with traces")
DIRECTORIES = ("/run/secrets", "/etc/bearerd", "/var/lib/bearerd")


def mistakes(block, binary):
    """What `bearerd check` has against a block."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        text = block.text
        for place in DIRECTORIES:
            text = text.replace(place, name)
        try:
            environment = make_up(tomllib.loads(text), directory)
        except tomllib.TOMLDecodeError as error:
            return [f"{block.where}: {error}"]
        file = directory / "page.toml"
        file.write_text(text)
        done = subprocess.run(
            [binary, "check", str(file)], capture_output=True, text=True, env=environment, cwd=name, timeout=30
        )
    lines = [line for line in done.stderr.splitlines() if re.search(r": F\d{3} ", line)]
    if "otel" in block.words:
        lines = [line for line in lines if not NOT_BUILT_IN.search(line)]
    if "fragment" in block.words:
        lines = [line for line in lines if not ELSEWHERE.search(line)]
    elif done.returncode != 0 and not lines:
        lines = [done.stderr.strip() or f"exit code {done.returncode}"]
    return [f"{block.where}: {line.replace(name + '/', '')}" for line in lines]


def make_up(value, directory):
    """Files and variables for every secret in VALUE. The environment that goes with them."""
    environment = {"CREDENTIALS_DIRECTORY": str(directory)}
    for secret in secrets_in(value):
        if "env" in secret:
            environment[secret["env"]] = "only-for-this-check-and-nothing-else"
            continue
        path = directory / secret.get("file", secret.get("systemd"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("only-for-this-check-and-nothing-else\n")
    return environment


def secrets_in(value):
    if isinstance(value, dict):
        if any(isinstance(value.get(key), str) for key in ("file", "env", "systemd")):
            yield value
        else:
            for member in value.values():
                yield from secrets_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from secrets_in(member)
