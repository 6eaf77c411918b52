"""No proxy at all: what generator and upstream cost by themselves."""

from __future__ import annotations

from ..servers import Launch
from ..world import Setup
from .proxy import Place, lacks_what_is_bearerds


class Direct:
    """The load goes straight to the upstream, without a token."""

    name = "direct"
    settings: tuple[tuple[str, str], ...] = (
        ("nothing", "the floor of latency and the ceiling of throughput on this machine, with this upstream"),
    )

    def lacks(self, setup: Setup) -> str | None:
        """It translates nothing."""
        if setup.renewing or setup.revoking:
            return "tokens"
        return lacks_what_is_bearerds(setup) or (None if setup.caller == setup.upstream else "another protocol than the upstream's")

    def launch(self, setup: Setup, place: Place) -> Launch | None:
        """There is nothing to start."""
        return None
