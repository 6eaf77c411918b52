"""docs/recipes/vendors.md, made of what `bearerd init` prints. Run: python3 -B tests/docs/vendors.py > docs/recipes/vendors.md"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEAD = """# Recipes by vendor

<!-- Made by tests/docs/vendors.py of what `bearerd init` prints; a test holds it against that. -->

`bearerd init VENDOR` prints a commented configuration for each of these; nothing in bearerd knows them, all of it is configuration.
The comments at its top say more: lifetimes, errors, variants, the vendor's own page. Fill in, put the secret where `client_secret` says,
then `bearerd check --fetch bearerd.toml`.

Another vendor: [`bearerd import curl`](../start.md#your-own-api) makes a configuration of the curl line in its documentation.
"""
ENTRY = """
**{name}** · {title}

- `bearerd init {name} > bearerd.toml`
- Fill in: {replace}.
- Know: {know}
"""


def made(binary):
    """The whole page."""
    listed = run(binary).split("\n\nbearerd init")[0]
    names = re.findall(r"^  ([a-z0-9-]+)  +(.+)$", listed, re.M)
    return HEAD + "".join(entry(name, title, run(binary, name)) for name, title in names)


def entry(name, title, configuration):
    facts = header(configuration)
    know = " ".join(
        ("" if key == "Authentication" else f"{key}: ") + sentence(facts[key])
        for key in ("Authentication", "Audience", "Scope", "Limits")
        if key in facts and (key == "Authentication" or not re.match(r"none\b(?! is sent| needed)|not documented", facts[key]))
    )
    know = know[0].upper() + know[1:]
    # An angle or a star would be Markdown.
    know = re.sub(r"(\S*[*<>]\S*)", r"`\1`", know)
    return ENTRY.format(name=name, title=title, replace=facts.get("Replace", "the upstream").rstrip("."), know=know)


def header(configuration):
    """The facts at the top: "# Name   text", and lines that go on."""
    facts, last = {}, None
    for line in configuration.splitlines():
        if not line.startswith("#"):
            break
        if new := re.match(r"# ([A-Z][a-z]+)  +(\S.*)$", line):
            last = new[1]
            facts[last] = new[2]
        elif (more := re.match(r"#  {10,}(\S.*)$", line)) and last:
            facts[last] += " " + more[1]
        else:
            last = None
    return facts


def sentence(text):
    """Its first sentence."""
    return re.split(r"(?<=[a-z)\"])\. (?=[A-Z])", text, maxsplit=1)[0].rstrip(".") + "."


def run(binary, *arguments):
    command = [binary, "init", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={}, timeout=30).stdout


if __name__ == "__main__":
    sys.stdout.write(made(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/bearerd"))
