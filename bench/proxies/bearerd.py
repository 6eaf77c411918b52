"""bearerd as it comes."""

from __future__ import annotations

from ..servers import Launch, free_port
from ..world import Setup, is_h2, is_tls
from .proxy import Place


class Bearerd:
    """What this repository builds."""

    name = "bearerd"
    settings: tuple[tuple[str, str], ...] = (
        ("workers = cores", "as for every proxy; its own default as well, up to four"),
        ("everything else at its default", "all protections, the metrics, the replay of rejected requests and the admin listener stay on"),
        ('refresh.early = "50%", tokens of 2 s (renewal cases only)', "gives one renewal each 1.0 to 1.2 s; the floor is 1 s"),
    )

    def lacks(self, setup: Setup) -> str | None:
        """Nothing."""
        return None

    def launch(self, setup: Setup, place: Place) -> Launch:
        """One route and one credential, or many."""
        lines = [f'listen = "127.0.0.1:{place.port}"', f"workers = {setup.workers}"]
        lines += ["[admin]", f'listen = "127.0.0.1:{free_port()}"']
        if is_tls(setup.caller):
            certificates = place.world.certificates
            lines += ["[tls]", f'certificate = "{certificates.certificate}"', f'key = "{certificates.key}"']
        for number in range(setup.credentials):
            lines += self._credential(number, setup, place)
        for number in range(setup.routes):
            lines += self._route(number, setup, place)
        configuration = place.write("bearerd.toml", "\n".join(lines) + "\n")
        command = [place.world.binaries["bearerd"], "run", str(configuration)]
        return Launch(command, place.port, place.directory / "bearerd.log")

    def _credential(self, number: int, setup: Setup, place: Place) -> list[str]:
        life = "short" if setup.renewing else "long"
        endpoint = f"http://127.0.0.1:{place.world.token_port(setup)}/{life}/{place.label}"
        lines = [f"[credentials.c{number}]", f'token_endpoint = "{endpoint}"', 'client_id = "bench"', 'client_secret = "bench-secret"']
        if setup.renewing:
            lines += [f"[credentials.c{number}.refresh]", 'early = "50%"']
        return lines

    def _route(self, number: int, setup: Setup, place: Place) -> list[str]:
        scheme = "https" if is_tls(setup.upstream) else "http"
        lines = [f"[routes.r{number}]", f'upstream = "{scheme}://127.0.0.1:{place.world.upstream_port(setup)}"']
        lines.append(f'credential = "c{number % setup.credentials}"')
        if setup.routes > 1:
            lines.append(f'path = "{route_path(number)}"')
        if is_h2(setup.upstream):
            lines.append('upstream_protocol = "h2"')
        if is_tls(setup.upstream):
            lines += [f"[routes.r{number}.tls]", f'ca = "{place.world.certificates.ca}"']
        return lines


def route_path(number: int) -> str:
    """The prefix of one of many routes."""
    return f"/r{number:05}"
