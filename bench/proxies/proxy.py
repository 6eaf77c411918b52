"""What a benchmark asks of a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from ..servers import Launch
from ..world import Setup, World

# What nginx and HAProxy send: as long as a token of the token endpoint.
STATIC_TOKEN = "0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Place:
    """Where one contender runs."""

    label: str
    directory: Path
    port: int
    world: World

    def write(self, name: str, text: str) -> Path:
        """Writes a file of its configuration."""
        path = self.directory / name
        path.write_text(text)
        return path


class Proxy(Interface):
    """A program that forwards and sets a token."""

    name: str
    # What is set, and why.
    settings: tuple[tuple[str, str], ...]

    def lacks(self, setup: Setup) -> str | None:
        """What it cannot do of this setup, in a few words; None if it can do all."""

    def launch(self, setup: Setup, place: Place) -> Launch | None:
        """Writes its configuration; None if there is nothing to start."""


def lacks_what_is_bearerds(setup: Setup) -> str | None:
    """What only bearerd can do."""
    return "many routes or credentials" if setup.routes > 1 or setup.credentials > 1 else None
